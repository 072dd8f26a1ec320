"""A run on a real workflow runner: `act` in host mode, an empty environment, a workflow template, the composite action.

What act does not know is removed from a copy of the workflow, and nothing else: the linters look at the original. What it
does not do as GitHub does (event types, permissions, environments) is held by tests of our own code.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenario import Event, Scene

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
ACTION = "OpenCoven/coven-action@0000000000000000000000000000000000000000"
UPLOAD = "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f"
# Keys newer than act's schema, each with the text that leaves when it is removed.
UNKNOWN_TO_ACT = ("cache-mode: none\n", "      queue: max\n", ", deployment: false")
# Of the environment only what package clients need to reach their registries.
NETWORK = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_BUNDLE")
SECONDS = 150


@dataclass(frozen=True)
class Job:
    """How a job ended.

    Attributes:
        exit_code: Of the runner.
        lines: What it printed, one decoded JSON object a line.
        outputs: The outputs of the step `coven`.
        folder: The folder of the run's documents, while the runner keeps its temporary files.
    """

    exit_code: int
    lines: list[dict]
    outputs: dict[str, str]

    @property
    def log(self) -> str:
        """Everything the steps printed."""
        return "\n".join(str(line.get("msg", "")) for line in self.lines)


class WorkflowRunner:
    """Runs jobs of one repository."""

    def __init__(self, scene: Scene, folder: Path, *, with_uv: bool = True) -> None:
        self.scene = scene
        self.folder = folder
        self.action = copy_action(folder / "action")
        self.stand_ins = {UPLOAD: _write_stand_in(folder / "upload")}
        self.path = _build_path(folder / "bin", with_uv=with_uv)

    def run(self, event: Event, *, run_id: int, attempt: int = 1, python: str = "python3") -> Job:
        """Run the workflow for an event and return how the job ended."""
        self.scene.record_run(event, run_id, attempt)
        job = self.folder / f"run-{run_id}-{attempt}"
        checkout = self.scene.clone_checkout(job / "checkout")
        # act reads the repository's name from the address of `origin`.
        subprocess.run(
            ["git", "remote", "set-url", "origin", f"https://github.com/{self.scene.repository.full_name}.git"],
            cwd=checkout,
            check=True,
        )
        workflow = checkout / ".github/workflows/coven.yml"
        workflow.parent.mkdir(parents=True, exist_ok=True)
        workflow.write_text(self.prepare(run_id, python))
        (job / "event.json").write_text(json.dumps(event.payload))
        (job / "home").mkdir()
        done = subprocess.run(
            self._argv(event, job, run_id, attempt),
            cwd=checkout,
            env=self._environment(job),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return Job(done.returncode, lines, _find_outputs(lines))

    def prepare(self, run_id: int, python: str) -> str:
        """Return the workflow's text for a run."""
        del run_id
        return prepare_workflow(python)

    def _argv(self, event: Event, job: Path, run_id: int, attempt: int) -> list[str]:
        variables = {
            "GITHUB_API_URL": self.scene.github.api_url,
            "GITHUB_SERVER_URL": self.scene.github.url,
            "GITHUB_RUN_ID": str(run_id),
            "GITHUB_RUN_ATTEMPT": str(attempt),
            "GITHUB_REPOSITORY_ID": str(self.scene.repository.id),
        }
        return [
            str(BIN / "act"),
            event.name,
            *("-W", ".github/workflows/coven.yml"),
            *("-e", str(job / "event.json")),
            *("-P", "ubuntu-24.04=-self-hosted"),
            *("-a", event.payload["sender"]["login"]),
            *("-s", f"GITHUB_TOKEN={self.scene.github.token}"),
            *("-s", "MODEL_API_KEY=canary-model-key-0123456789"),
            *("--local-repository", f"{ACTION}={self.action}"),
            *(part for name, path in self.stand_ins.items() for part in ("--local-repository", f"{name}={path}")),
            "--no-cache-server",
            "--json",
            *(argument for name, value in variables.items() for argument in ("--env", f"{name}={value}")),
        ]

    def _environment(self, job: Path) -> dict[str, str]:
        """Return what act itself gets: it hands its whole environment on to the steps."""
        return {
            **{name: value for name, value in os.environ.items() if name.startswith(NETWORK)},
            "PATH": self.path,
            "HOME": str(job / "home"),
            "UV_CACHE_DIR": str(ROOT / ".cache/uv"),
            "XDG_CACHE_HOME": str(job / "cache"),
            "ACT_DISABLE_VERSION_CHECK": "1",
        }


def copy_action(folder: Path) -> Path:
    """Return a copy of what of this repository belongs to the action: act copies the whole folder for every step."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "action.yml", folder)
    shutil.copytree(ROOT / "setup", folder / "setup")
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def prepare_workflow(python: str = "python3") -> str:
    """Return the quickstart workflow without what act does not know, listening to comments too."""
    text = (ROOT / "workflows-templates/quickstart.yml").read_text()
    for unknown in UNKNOWN_TO_ACT:
        assert text.count(unknown) == 1, f"the template no longer has {unknown!r}: act may know it by now"
        text = text.replace(unknown, "")
    text = text.replace("on:\n", "on:\n  issue_comment: {types: [created]}\n", 1)
    return text.replace("isolation: enforced}", f"isolation: enforced, python: {python}}}")


def _write_stand_in(folder: Path) -> Path:
    """Write an action that stands in for the upload of artifacts, which needs GitHub's own service."""
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text(
        "name: upload\ninputs: {name: {}, path: {}, retention-days: {}}\n"
        "runs:\n  using: composite\n  steps:\n    - {shell: bash, run: 'true'}\n"
    )
    return folder


def _build_path(folder: Path, *, with_uv: bool) -> str:
    """Return a PATH with this Python and the system's programs, and uv only where it is wanted."""
    folder.mkdir(parents=True)
    (folder / "python3").symlink_to(sys.executable)
    if with_uv:
        (folder / "uv").symlink_to(BIN / "uv")
    return f"{folder}:/usr/local/bin:/usr/bin:/bin"


def _find_outputs(lines: list[dict]) -> dict[str, str]:
    found = {}
    for line in lines:
        if line.get("command") == "set-output" and line.get("stepID") == ["coven"]:
            found[line["name"]] = line["arg"]
    return found


def find_act() -> None:
    """Skip, or fail where everything is demanded, when the runner is not installed."""
    if not (BIN / "act").exists():  # pragma: no cover - the development environment has it
        message = "act is not installed: run the tests through `make test`"
        pytest.fail(message) if os.environ.get("REQUIRE_ALL") else pytest.skip(message)
