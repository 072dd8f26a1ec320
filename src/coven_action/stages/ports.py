"""What the stages need of the outside world, as protocols. Adapters satisfy them; tests satisfy them with small fakes.

Whatever leaves the machine is typed `Redacted`: a plain string cannot be published, and the type checker says so.
Errors of the outside world arrive as `coven_action.errors.Error`; nothing foreign passes these doors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.contract.process_report import ConfinedReport
from coven_action.core.documents import Measure, Target
from coven_action.core.endpoint.relaying import OutboxArtifact, RunFacts
from coven_action.core.gateway.order import GatewayOrder
from coven_action.core.gateway.report import GatewayReport
from coven_action.core.publication.publication import Annotation
from coven_action.core.publication.status_marker import ThreadComment
from coven_action.core.publication.targets import Head, PullRequest
from coven_action.core.redaction.redactor import Redacted
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.sandbox.request import SandboxRequest
from coven_action.core.sandbox.toolchains import Tools
from coven_action.core.trust.edits import Edits
from coven_action.core.trust.events import Thread, WorkflowRun
from coven_action.core.trust.trust import PermissionAnswer
from coven_action.core.verification.changes import ChangedFile

HandedOver = Literal["plan.json", "outcome.json", "checks.json"]
"""What one stage writes for another to judge: it is read by us, within a size, and never shown as it is."""


class Clock(Protocol):
    """The time, for timestamps."""

    def now(self) -> datetime:
        """Return the current time, with its zone."""
        ...


class GitHubReader(Protocol):
    """What `plan` asks GitHub."""

    def find_permission(self, login: str) -> PermissionAnswer | None:
        """Return GitHub's answer about an account, None where it knows no such collaborator."""
        ...

    def get_branch_sha(self, branch: str) -> str:
        """Return the commit a branch points to."""
        ...

    def find_file(self, path: str, ref: str) -> bytes | None:
        """Return a file's content at a commit, None where it does not exist."""
        ...

    def get_thread(self, number: int) -> Thread:
        """Return an issue, or a pull request seen as one."""
        ...

    def find_edits(self, number: int, comment_node_id: str) -> Edits:
        """Return when title, body and, where its id is not empty, a comment were last edited."""
        ...

    def get_run(self, run_id: int) -> WorkflowRun:
        """Return when a run was created, and who started its newest attempt."""
        ...

    def fetch_comments(self, number: int) -> Iterator[ThreadComment]:
        """Yield all comments of a thread, oldest first, over all pages."""
        ...

    def find_branches(self, prefix: str) -> tuple[tuple[str, str], ...]:
        """Return name and commit of the branches whose name begins with `prefix`."""
        ...

    def get_head(self, sha: str) -> Head:
        """Return what a commit of ours says about itself."""
        ...

    def find_pull_requests(self, branch: str) -> tuple[PullRequest, ...]:
        """Return the pull requests, open and closed, whose head is a branch of this repository."""
        ...

    def get_pull_request(self, number: int) -> PullRequest:
        """Return one pull request."""
        ...


class Trees(Protocol):
    """Commits of the repository, fetched but not checked out: nothing in them takes effect."""

    def list_files(self, commit: str, folder: str) -> tuple[tuple[str, bool], ...]:
        """Return each path below a folder, and whether it is an ordinary file (no link, executable or submodule)."""
        ...

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """Return an ordinary file's content, at most `limit` + 1 bytes; None where there is none."""
        ...


class TreeSource(Protocol):
    """Fetches commits."""

    def fetch(self, folder: Path, commits: Sequence[str]) -> Trees:
        """Fetch commits from the server into a new repository."""
        ...


class GitHubWriter(Protocol):
    """What `plan` and `publish` change at GitHub. A repeated call after a lost answer does not act twice."""

    def create_comment(self, number: int, body: Redacted) -> int:
        """Write a comment and return its id."""
        ...

    def update_comment(self, comment_id: int, body: Redacted) -> None:
        """Replace a comment's text."""
        ...

    def remove_label(self, number: int, name: str) -> None:
        """Remove a label; one that is no longer there is no error."""
        ...

    def add_labels(self, number: int, names: Sequence[Redacted]) -> None:
        """Add labels; the ones already there stay."""
        ...

    def create_pull_request(self, *, title: Redacted, body: Redacted, head: str, base: str) -> tuple[PullRequest, bool]:
        """Open a draft pull request. The second value is False where drafts are not offered and it is an ordinary one."""
        ...

    def get_pull_request(self, number: int) -> PullRequest:
        """Return one pull request, as it is before it is changed."""
        ...

    def find_changed_paths(self, number: int) -> tuple[str, ...]:
        """Return every path that a pull request changes, or renames from."""
        ...

    def find_labeller(self, number: int, name: str) -> int | None:
        """Return the id of the account that last applied a label to a thread, None where nobody did."""
        ...

    def update_pull_request(self, number: int, *, title: Redacted | None, body: Redacted) -> PullRequest:
        """Replace a pull request's text, and its title unless that is None."""
        ...

    def create_check_run(
        self,
        *,
        head_sha: str,
        name: str,
        external_id: str,
        conclusion: str,
        title: Redacted,
        summary: Redacted,
        text: Redacted,
        annotations: Sequence[Sequence[tuple[Annotation, Redacted]]],
    ) -> int:
        """Create a concluded Check Run, its annotations in the batches given, and return its id."""
        ...

    def find_check_runs(self, head_sha: str, name: str, *, external_id: str | None = None) -> tuple[int, ...]:
        """Return the ids of our Check Runs on a commit; with an `external_id` of those alone that carry it."""
        ...

    def supersede_check_run(self, check_run_id: int, *, title: Redacted, summary: Redacted) -> None:
        """Conclude a Check Run as neutral, and replace its title and summary."""
        ...


class Witness(Protocol):
    """Where the runs of a repository keep, for one another, the newest head of the endpoint's audit log."""

    def read(self) -> bytes | None:
        """Return what was kept last; None where nothing was."""
        ...

    def write(self, document: Redacted) -> None:
        """Keep a document in place of the last one."""
        ...


class KeptOutboxes(Protocol):
    """What earlier runs of the repository have left for the endpoint, at GitHub."""

    def find(self, name: str) -> tuple[OutboxArtifact, ...]:
        """Return the newest artifacts of exactly this name."""
        ...

    def get_run(self, run_id: int) -> RunFacts:
        """Return what GitHub says of a run."""
        ...

    def download(self, artifact_id: int, limit: int) -> bytes:
        """Return an artifact's zip file. Raises `GitHubError` where it is not to be had, or larger than `limit`."""
        ...


class Workspace(Protocol):
    """The folder the runtime works in: our own clone, watched through a git directory that the runtime never sees."""

    @property
    def root(self) -> Path:
        """The workspace's absolute path."""
        ...

    def read_hand_off(self, name: str, limit: int) -> bytes | None:
        """Return a hand-off file, at most `limit` + 1 bytes; None where there is no plain file of that name."""
        ...

    def commit_tree(self) -> str | None:
        """Record the tree as it is now, committed and uncommitted work alike; None where nothing differs from the base."""
        ...

    def write_bundle(self, tip: str, path: Path) -> None:
        """Write the commits from the base to `tip` as a bundle."""
        ...

    def list_changes(self, tip: str) -> tuple[ChangedFile, ...]:
        """Return what differs between the base and `tip`."""
        ...

    def read_patch(self, tip: str, limit: int) -> bytes:
        """Return the patch from the base to `tip`, at most `limit` + 1 bytes."""
        ...


class Workspaces(Protocol):
    """Makes workspaces."""

    def prepare(
        self, checkout: Path, folder: Path, target: Target, *, default_branch: str, clone_url: str
    ) -> Workspace:
        """Clone the checkout into `folder` at the target's base."""
        ...

    def destroy(self, folder: Path) -> None:
        """Remove everything a run has left in a folder."""
        ...


class Confinement(Protocol):
    """The strongest sandbox that this machine is proved to have; none where nothing is proved."""

    def prove(self) -> Attempt:
        """Try every escape, the first time it is asked, and return what is left: backend, level, and why not more."""
        ...

    def find_tools(self) -> Tools:
        """Return the machine's tools."""
        ...

    def choose_relay_port(self) -> int:
        """Return where on loopback inside the way to a gateway begins."""
        ...

    def run(
        self,
        request: SandboxRequest,
        *,
        limits: ProcessLimits,
        write: Callable[[bytes], object],
        keep_going: Callable[[], bool] = lambda: True,
    ) -> ConfinedReport:
        """Run a program to its end, confined as was proved; nothing of it is left afterwards.

        Where nothing was proved it runs unconfined: whoever calls has decided that the workflow allows that.
        `keep_going` is asked several times a second, and False ends it. Raises `RuntimeFault` where it could not be started.
        """
        ...


class ModelGateway(Protocol):
    """The way to the model while it is open: it holds the key, counts, and ends the run at its budget."""

    @property
    def socket(self) -> Path:
        """The socket that leads to it."""
        ...

    @property
    def ended_because(self) -> str | None:
        """The code of the budget that is used up; None while none is."""
        ...

    def report(self) -> GatewayReport:
        """Close it and return its account. Raises `RuntimeFault` where it was lost."""
        ...


class ModelGateways(Protocol):
    """Opens ways to a model."""

    def open(self, order: GatewayOrder, key: str) -> AbstractContextManager[ModelGateway]:
        """Open one. Raises `RuntimeFault` where it could not be started."""
        ...


class CheckTree(Protocol):
    """A fresh copy of the repository, as an ordinary clone has it, in which the repository's checks run."""

    @property
    def root(self) -> Path:
        """The tree's absolute path."""
        ...

    def read_reports(self, since: float) -> tuple[bytes, ...]:
        """Return the test reports (JUnit XML) written in it since a moment (seconds since 1970), bounded, links not followed."""
        ...


class CheckTrees(Protocol):
    """Makes trees for the checks."""

    def prepare(
        self, checkout: Path, folder: Path, commit: str, *, bundle: Path | None, default_branch: str
    ) -> CheckTree:
        """Make `folder`/tree from the checkout and, where one is given, a bundle, at a commit of theirs.

        Raises `GitError` where the commit is in neither.
        """
        ...

    def destroy(self, folder: Path) -> None:
        """Remove everything that checks have left in a folder."""
        ...


class RuntimeInstaller(Protocol):
    """Finds coven-code: an installed program that was named, or the pinned release."""

    def __call__(self) -> Path:
        """Return the program. Raises `RuntimeFault` where there is none to be had."""
        ...


class PublicationRepository(Protocol):
    """A fresh clone that we made, in which nothing of the agent's is ever executed."""

    def import_bundle(self, bundle: Path) -> str:
        """Take a bundle's objects in and return its tip."""
        ...

    def list_changes(self, tip: str) -> tuple[ChangedFile, ...]:
        """Return what differs between the base and `tip`."""
        ...

    def read_patch(self, tip: str, limit: int) -> bytes:
        """Return the patch from the base to `tip`, at most `limit` + 1 bytes."""
        ...

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """Return an ordinary file's content, at most `limit` + 1 bytes; None where there is none."""
        ...

    def list_parents(self, commit: str) -> tuple[str, ...]:
        """Return a commit's parents."""
        ...

    def commit(self, tip: str, message: Redacted, *, author: str, at: datetime) -> str:
        """Return a new commit with the tree of `tip` on top of the base."""
        ...

    def find_remote_shas(self, branches: Sequence[str]) -> tuple[str | None, ...]:
        """Return the commit each of these branches of the server points to now, None where one does not exist."""
        ...

    def fetch_history(self, commits: Sequence[str]) -> None:
        """Fetch the newest part of some commits' history from the server."""
        ...

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether a commit is in another one's history, as far as that was fetched."""
        ...

    def find_conflicts(self, one: str, other: str) -> tuple[str, ...] | None:
        """Return the paths on which two commits conflict; None where no commit that both stand on was fetched."""
        ...

    def push(self, commit: str, branch: str, *, expected_sha: str | None) -> None:
        """Push one commit to one branch, which must still point to `expected_sha` (or not exist)."""
        ...


class PublicationRepositories(Protocol):
    """Makes publication clones."""

    def clone(self, folder: Path, base_sha: str) -> PublicationRepository:
        """Fetch the base commit from the server into a new repository."""
        ...


class Renderer(Protocol):
    """Turns values into Markdown, escaping what comes from elsewhere."""

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """Return the rendered template."""
        ...


class Job(Protocol):
    """The job this stage runs in: its log, its outputs, its summary."""

    def notice(self, message: Redacted) -> None:
        """Say something to whoever reads the log."""
        ...

    def warning(self, message: Redacted) -> None:
        """Say something they should look at."""
        ...

    def error(self, message: Redacted) -> None:
        """Say why the job fails."""
        ...

    def set_output(self, name: str, value: Redacted) -> None:
        """Set an output of the step."""
        ...

    def append_summary(self, markdown: Redacted) -> None:
        """Add to the step summary."""
        ...


class Documents(Protocol):
    """The folder in which the stages leave their documents for one another."""

    @property
    def folder(self) -> Path:
        """Its absolute path."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Return a document. Raises `DocumentError` where it is missing, no plain file, or larger than `limit`."""
        ...

    def write(self, name: HandedOver, data: bytes) -> Path:
        """Write a document for a later stage, whole or not at all, and return its path."""
        ...

    def leave(self, name: Redacted, text: Redacted) -> None:
        """Write a text for people, whole or not at all. Folders that its name leads through are made."""
        ...

    def remove(self, name: str) -> None:
        """Remove what an earlier attempt left under this name."""
        ...

    def open_log(self, name: str) -> AbstractContextManager[Callable[[Redacted], None]]:
        """Open a text file for writing; what is written has been through the redactor."""
        ...

    def make_folder(self, name: str) -> Path:
        """Return a new, empty folder of that name; what an earlier attempt left in it is gone."""
        ...

    def measure(self, name: str) -> Measure:
        """Return size and digest of a file, read in pieces."""
        ...
