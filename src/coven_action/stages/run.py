"""`run`: let the familiar work, and write down what happened. No GitHub token, no OIDC, no secret but the model's key.

Everything this stage leaves behind is untrusted from then on: the agent may have written it. `run` records faults
rather than raising them wherever it can, so that `publish` has something to tell; only a plan that cannot be read and a
folder that cannot be written to end it with an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coven_action.core.contract.contract import RuntimeResult
from coven_action.core.contract.coven_code import CONFIG_HOME_NAME
from coven_action.core.contract.hand_off import HAND_OFF_LIMIT, PULL_REQUEST_FILE, parse_pull_request_hand_off
from coven_action.core.contract.platforms import Platform
from coven_action.core.contract.verdict import RuntimeVerdict
from coven_action.core.documents import (
    MAXIMUM_DOCUMENT_BYTES,
    Fault,
    Isolation,
    Outcome,
    TaskIdentity,
    Work,
    parse_plan,
    write_document,
)
from coven_action.core.gateway.building import build_order
from coven_action.core.isolation import IsolationAllowed, IsolationRefused, decide_isolation
from coven_action.core.records import format_time, sha256_hex
from coven_action.core.redaction.encodings import KIND as REGISTERED
from coven_action.core.redaction.patch import redact_patch
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import find_kinds, redact_record
from coven_action.core.sandbox.probes import Attempt as ProvedAttempt
from coven_action.core.verification.verification import find_added_text
from coven_action.errors import EnvironmentFault, RuntimeFault
from coven_action.stages.attempting import Attempting, AttemptPorts, Bench, Ended
from coven_action.stages.documents import (
    BUNDLE_FILE,
    LOG_FILE,
    OUTCOME_DOCUMENT,
    PATCH_FILE,
    PLAN_DOCUMENT,
    check_digest,
    check_task,
)
from coven_action.stages.faults import explain_exception, is_bug
from coven_action.stages.memory import materialise, take_hand_off
from coven_action.stages.ports import CheckTrees, Clock, Documents, Job, ModelGateway, Workspace, Workspaces
from coven_action.stages.runtimes import (
    Access,
    RunFolder,
    RuntimePorts,
    needs_gateway,
    prepare_runtime,
    runtime_kind,
)

RUN_FOLDER: Final = "run"


@dataclass(frozen=True, slots=True)
class RunPorts:
    """The outside world of `run`."""

    clock: Clock
    documents: Documents
    workspaces: Workspaces
    trees: CheckTrees
    runtimes: RuntimePorts
    job: Job
    redactor: Redactor


def run(
    task: TaskIdentity,
    *,
    checkout: Path,
    platform: Platform,
    plan_sha256: str | None,
    ports: RunPorts,
) -> Outcome | None:
    """Let the familiar work and write `outcome.json`, `changes.bundle` and `agent.log`.

    Args:
        task: This run, from the environment.
        checkout: The repository as the workflow checked it out.
        platform: What this machine is.
        plan_sha256: The plan's digest as the workflow handed it over; None where it handed over none.
        ports: The outside world.

    Returns:
        What happened; None where the plan says that there is nothing to do.

    Raises:
        DocumentError: The plan is missing, altered, or of another run.
        Exception: A bug. It is recorded in `outcome.json` like any other fault, and raised afterwards.
    """
    data = ports.documents.read(PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES)
    check_digest(data, plan_sha256, PLAN_DOCUMENT)
    plan = parse_plan(data)
    check_task(plan.task, task, PLAN_DOCUMENT)
    if plan.work is None:
        return None
    for name in (OUTCOME_DOCUMENT, BUNDLE_FILE, PATCH_FILE, LOG_FILE):
        ports.documents.remove(name)
    session = _Session(task, plan.work, sha256_hex(data), ports)
    outcome = session.work_within_bounds(checkout, platform)
    outcome = _cover(outcome, ports.redactor)
    written = write_document(outcome)
    ports.documents.write(OUTCOME_DOCUMENT, written)
    ports.job.set_output("outcome-sha256", ports.redactor.redact(sha256_hex(written)))
    if outcome.fault is not None:
        ports.job.warning(ports.redactor.redact(f"run: {outcome.fault.message}"))
    if session.bug is not None:
        raise session.bug
    return outcome


def _cover(outcome: Outcome, redactor: Redactor) -> Outcome:
    """Cover every secret: what is handed over can be read by whoever may read the run's artifacts, before it is judged.

    In covered words `publish` finds nothing any more, so it is told of what it refuses: a value that this stage alone
    knows, wherever that stands, and what looks like a secret in the words for the pull request of a change.
    """
    found = find_kinds(outcome.model_dump(mode="json"), redactor)
    if not found:
        return outcome
    has_change = outcome.tip_sha is not None or bool(outcome.secrets)
    words = find_kinds([outcome.hand_off.title, outcome.hand_off.body], redactor) if has_change else frozenset[str]()
    secrets = {*outcome.secrets, *words, *(found & {REGISTERED})}
    return redact_record(outcome, redactor).model_copy(update={"secrets": tuple(sorted(secrets))})


class _Session:
    """One call of `run`: what is known so far of the outcome."""

    def __init__(self, task: TaskIdentity, work: Work, plan_sha256: str, ports: RunPorts) -> None:
        self.work = work
        self.ports = ports
        self.folder = ports.documents.folder / RUN_FOLDER
        self.bug: Exception | None = None
        self.parts: dict[str, Any] = {
            "task": task,
            "plan_sha256": plan_sha256,
            "runtime": runtime_kind(work.familiar),
            "runtime_version": "unknown",
            "capabilities": {},
            "isolation": Isolation(demanded=work.isolation_demanded, reached="none", note="no runtime was started"),
            "attempts": (),
            "verdict": "fault",
            "summary": "",
            "started_at": format_time(ports.clock.now()),
        }

    def work_within_bounds(self, checkout: Path, platform: Platform) -> Outcome:
        try:
            self.ports.workspaces.destroy(self.folder)
            self._work(checkout, platform)
        except Exception as error:  # noqa: BLE001 - written down, so that `publish` tells it; a bug is raised afterwards
            told = explain_exception(error)
            self._record_fault(told.code, told.message, told.remedy)
            self.bug = error if is_bug(error) else None
        self._clean_up()
        return Outcome(**self.parts, finished_at=format_time(self.ports.clock.now()))

    def _clean_up(self) -> None:
        """Leave nothing of the run behind. That something cannot be removed is said, and spoils no finished work."""
        try:
            self.ports.workspaces.destroy(self.folder)
            self.parts["workspace_destroyed"] = not self.folder.exists()
        except Exception as error:  # noqa: BLE001 - said in the log, whatever it is
            self.ports.job.warning(self.ports.redactor.redact(f"run: {explain_exception(error)}"))

    def _work(self, checkout: Path, platform: Platform) -> None:
        if not platform.supported:
            raise EnvironmentFault("platform-not-supported", platform.note)
        allowed = self._check_isolation(self.ports.runtimes.confinement.prove(), platform)
        folder = RunFolder(self.folder)
        folder.create()
        workspace = self.ports.workspaces.prepare(
            checkout,
            self.folder,
            self.work.target,
            default_branch=self.work.repository.default_branch,
            clone_url=self.work.brief.repo.clone_url,
        )
        with self._open_gateway(folder) as gateway:
            port = self.ports.runtimes.confinement.choose_relay_port()
            access = Access(allowed.level, port if gateway else None)
            runtime = prepare_runtime(
                self.work.familiar,
                turns=self.work.limits.turns,
                access=access,
                folder=folder,
                ports=self.ports.runtimes,
            )
            self.parts |= {"runtime_version": runtime.version, "capabilities": dict(runtime.capabilities)}
            materialise(self.work, folder.home / CONFIG_HOME_NAME)
            ended = self._attempt(Bench(self.work, folder, runtime, workspace, checkout, gateway, port))
            self._judge(ended, workspace)

    @contextmanager
    def _open_gateway(self, folder: RunFolder) -> Iterator[ModelGateway | None]:
        """Open the way to the model, where there is one, and keep its account, however the work ends."""
        runtimes, familiar = self.ports.runtimes, self.work.familiar
        if not needs_gateway(familiar, runtimes):
            yield None
            return
        order = build_order(
            model=familiar.model or "",
            hosts=familiar.hosts,
            cost_cents=self.work.limits.cost_cents,
            socket=str(folder.gateway),
        )
        with runtimes.gateways.open(order, runtimes.model_key or "") as gateway:
            try:
                yield gateway
            finally:
                self.parts["gateway"] = gateway.report()

    def _check_isolation(self, proved: ProvedAttempt, platform: Platform) -> IsolationAllowed:
        demanded = self.work.isolation_demanded
        self.ports.job.notice(
            self.ports.redactor.redact(f"isolation: {proved.level} reached ({proved.backend}), {demanded} demanded")
        )
        decided = decide_isolation(demanded, proved.level, runtime_kind(self.work.familiar))
        if isinstance(decided, IsolationRefused):
            self.parts["isolation"] = Isolation(
                demanded=demanded, reached=proved.level, note="no runtime was started", backend=proved.backend
            )
            raise RuntimeFault(decided.code, decided.reason, remedy=decided.remedy)
        note = " ".join(part for part in (decided.note, platform.note) if part)
        self.parts["isolation"] = Isolation(demanded=demanded, reached=decided.level, note=note, backend=proved.backend)
        return decided

    def _attempt(self, bench: Bench) -> Ended:
        """Let the runtime work, and keep what is known of it, however it ends."""
        limits, redact = bench.work.limits, self.ports.redactor.redact
        times = f", at most {limits.attempts} times" if limits.attempts > 1 and bench.work.checks else ""
        self.ports.job.notice(redact(f"{bench.runtime.name} works, at most {limits.time_seconds} s{times} …"))
        # The log goes through the redactor as it comes, so that a kill leaves a log, and leaves no secret in it.
        stream = self.ports.redactor.stream()
        with self.ports.documents.open_log(LOG_FILE) as log:
            ports = AttemptPorts(
                clock=self.ports.clock,
                confinement=self.ports.runtimes.confinement,
                trees=self.ports.trees,
                job=self.ports.job,
                redactor=self.ports.redactor,
                write=lambda chunk: log(stream.feed(chunk)),
            )
            attempting = Attempting(bench, ports)
            try:
                return attempting.work()
            finally:
                log(stream.finish())
                self._record_attempts(attempting)

    def _record_attempts(self, attempting: Attempting) -> None:
        self.parts |= {
            "attempts": tuple(attempting.attempts),
            "tries": tuple(attempting.tries),
            "usage": attempting.usage,
            "isolation": self.parts["isolation"].model_copy(update={"limited_by": attempting.limited_by}),
        }

    def _judge(self, ended: Ended, workspace: Workspace) -> None:
        verdict, result, log = ended.verdict, ended.result, self.ports.documents.measure(LOG_FILE)
        hand_off, notes = parse_pull_request_hand_off(workspace.read_hand_off(PULL_REQUEST_FILE, HAND_OFF_LIMIT))
        self.parts |= {
            "log_sha256": log.sha256,
            "log_bytes": log.size,
            "verdict": verdict.kind,
            "hand_off": hand_off,
            "hand_off_notes": notes,
            "memory_hand_off": take_hand_off(workspace, lambda text: bool(self._find_secrets(text))),
            "summary": _summarise(verdict, result),
        }
        if isinstance(result, RuntimeResult):
            self.parts |= {
                "result": result.model_dump(mode="json", exclude={"unknown_fields"}),
                "unknown_result_fields": result.unknown_fields,
            }
        if verdict.kind == "fault":
            self._record_fault(verdict.code or "runtime-crashed", verdict.sentence, None)
        if ended.tip is not None:
            self._record_changes(ended.tip, workspace)

    def _find_secrets(self, value: Any) -> tuple[str, ...]:
        """Return the kinds of secrets in the texts of a value."""
        return tuple(sorted(find_kinds(value, self.ports.redactor)))

    def _record_changes(self, tip: str, workspace: Workspace) -> None:
        """Keep the work done, even after a fault: a maintainer may want it, and `publish` decides."""
        files = tuple(file.path for file in workspace.list_changes(tip))
        patch = workspace.read_patch(tip, self.work.limits.patch_bytes)
        # `publish` is never given the model's key, so what holds that goes no further than this. What else looks like a
        # secret it would refuse as well, but as an artifact the change could be read until then, and afterwards.
        secrets = self._find_secrets((find_added_text(patch.decode("utf-8", "replace")), *files))
        if secrets:
            redactor = self.ports.redactor
            self.ports.documents.leave(redactor.redact(PATCH_FILE), redact_patch(patch, redactor))
            self.parts |= {"secrets": secrets}
            return
        path = self.ports.documents.folder / BUNDLE_FILE
        workspace.write_bundle(tip, path)
        self.parts |= {
            "tip_sha": tip,
            "bundle_sha256": self.ports.documents.measure(BUNDLE_FILE).sha256,
            "files_changed": files,
        }

    def _record_fault(self, code: str, message: str, remedy: str | None) -> None:
        fault = RuntimeFault(code, message, remedy=remedy)
        self.parts |= {
            "verdict": "fault",
            "summary": message,
            "fault": Fault(stage="run", code=code, message=message, remedy=fault.remedy),
        }


def _summarise(verdict: RuntimeVerdict, result: RuntimeResult | RuntimeFault) -> str:
    """Return what people should be told: the runtime's own explanation where it did not do the work, else our sentence."""
    if verdict.kind in {"failed", "needs-input", "nothing-changed"} and isinstance(result, RuntimeResult):
        return result.pr_body.strip() or result.summary.strip() or verdict.sentence
    return verdict.sentence
