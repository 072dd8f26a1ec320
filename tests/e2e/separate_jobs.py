"""The stages as processes with a machine of their own each, without a workflow runner: what most tests of separate jobs need.

Each job has its own folders; what goes from one to the next is copied by hand, as the artifacts of the template are.
"""

import shutil
import zipfile
from io import BytesIO
from pathlib import Path

from coven_action.cli.stage import start_stage
from coven_action.core.records import sha256_hex
from coven_action.core.stage_environment import CHECKS_SHA256, FOLDER, OUTCOME_SHA256, PLAN_SHA256, RECEIVED
from tests.scenario import Event, Run, Scene, read_outputs

LEFT_BY = {
    "plan": ("plan.json",),
    "run": ("outcome.json", "changes.bundle", "changes.patch"),
    "verify": ("checks.json",),
}


class Jobs:
    """The jobs of one run.

    Attributes:
        received: What `publish` has downloaded: a folder for each earlier stage.
        digests: The outputs of the jobs.
    """

    def __init__(self, scene: Scene, event: Event, run_id: int, *, attempt: int = 1) -> None:
        self.scene = scene
        self.folder = scene.folder / f"jobs-{run_id}-{attempt}"
        scene.record_run(event, run_id, attempt)
        self.run = scene.repository.workflow_runs[run_id]
        self.environment = scene.build_environment(event, self.folder, run_id=run_id, attempt=attempt)
        self.received = self.folder / "received"
        self.digests: dict[str, str] = {}

    def finish(self) -> int:
        """Run all jobs, and return the exit code of `publish`."""
        self.plan()
        self.work()
        if self.outputs["checks"] != "0":
            self.verify()
        return self.publish()

    def plan(self) -> int:
        """Run the job `plan`, with what its permissions bring."""
        code = start_stage("plan", {**self.environment, **self._permit()}, {FOLDER: str(self.documents("plan"))})
        self._hand_over("plan")
        self.digests[PLAN_SHA256] = sha256_hex((self.received / "plan/plan.json").read_bytes())
        return code

    def work(self) -> int:
        """Run the job `run`."""
        checkout = self.scene.clone_checkout(self.folder / "checkout")
        given = {FOLDER: str(self.documents("run")), RECEIVED: str(self.received), **self.digests}
        code = start_stage("run", self.environment, given, "--checkout", str(checkout))
        self._hand_over("run")
        self.digests[OUTCOME_SHA256] = sha256_hex((self.received / "run/outcome.json").read_bytes())
        return code

    def verify(self) -> int:
        """Run the job `verify`."""
        checkout = self.scene.clone_checkout(self.folder / "checkout-of-verify")
        given = {FOLDER: str(self.documents("verify")), RECEIVED: str(self.received), **self.digests}
        code = start_stage("verify", self.environment, given, "--checkout", str(checkout))
        self._hand_over("verify")
        self.digests[CHECKS_SHA256] = self.outputs.get("checks-sha256", "")
        return code

    def publish(self) -> int:
        """Run the job `publish`, with what its permissions bring."""
        given = {FOLDER: str(self.documents("publish")), RECEIVED: str(self.received), **self.digests}
        return start_stage("publish", {**self.environment, **self._permit()}, given)

    def documents(self, stage: str) -> Path:
        """Return the folder of a job's documents."""
        return self.folder / stage

    def pack_outbox(self) -> bytes:
        """Return what the template uploads at the end: the outbox as a zip file."""
        packed = BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((self.documents("publish") / "outbox").iterdir()):
                archive.write(path, path.name)
        return packed.getvalue()

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of all steps."""
        return read_outputs((self.folder / "output").read_text(encoding="utf-8"))

    def _permit(self) -> dict[str, str]:
        return self.scene.github.issuer.permit(self.scene.repository, self.run)

    def take_from(self, run: Run) -> None:
        """Take what a run has left that did the other stages in this process, which is quicker, as downloaded here."""
        for stage in LEFT_BY:
            self._hand_over(stage, run.documents)
        self.digests = {
            PLAN_SHA256: run.digests["plan"] or "",
            OUTCOME_SHA256: run.digests["outcome"] or "",
            CHECKS_SHA256: run.digests["checks"] or "",
        }

    def _hand_over(self, stage: str, left_in: Path | None = None) -> None:
        left_in = left_in or self.documents(stage)
        folder = self.received / stage
        folder.mkdir(parents=True)
        for name in LEFT_BY[stage]:
            if (left_in / name).is_file():
                shutil.copy(left_in / name, folder / name)
