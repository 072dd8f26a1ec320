"""How each guard is taken away: case -> the patches that disarm exactly it, each one line; or why that cannot be done.

A patch is (dotted name, replacement). A case that runs with its guard disarmed must do harm: this file is the proof that
the attacks are real, and it is used by the tests alone.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from coven_action.adapters.sandbox.sandbox import Sandbox
from coven_action.core.contract.contract import parse_result
from coven_action.core.contract.hand_off import HAND_OFF_FOLDER
from coven_action.core.publication.endings import ENDINGS, Ending
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sandbox.bubblewrap import NAMESPACES, NETWORK_NAMESPACE
from coven_action.core.sandbox.unconfined import build_unconfined
from coven_action.core.sanitising.sanitiser import Sanitised
from coven_action.core.trust.events import _read_labeled
from coven_action.core.trust.run_trust import judge_trigger
from coven_action.core.trust.trust import Trust, TrustScope
from coven_action.core.verification import verification

Patch = tuple[str, Any]


class Reason(str):
    """Why there is no guard to take away."""

    __slots__ = ()


@dataclass(frozen=True)
class Made:
    """A replacement that is made from what it replaces."""

    make: Callable[[Any], Any]


def without(*steps: str) -> Patch:
    """Return the patch that leaves steps of the verification out."""
    kept = {name: check for name, check in verification.STEPS.items() if name not in steps}
    return ("coven_action.core.verification.verification.STEPS", kept)


def nothing_found(self: Redactor, text: str | bytes) -> tuple[()]:
    del self, text
    return ()


def siege_configuration() -> str:
    from tests.redteam.siege import CONFIGURATION

    return CONFIGURATION


def prefer_branch(get: Callable[..., str]) -> Callable[..., str]:
    """Return a look-up of a branch that finds the familiar's own instead, where there is one."""

    def find(self: Any, branch: str) -> str:
        found = self.find_branches("coven/")
        return str(found[0][1]) if found else get(self, branch)

    return find


def inherit(build: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Return a builder of environments that begins with ours."""
    return lambda **facts: {**os.environ, **build(**facts)}


def read_home(build: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Return the environment of git without what keeps it from the user's configuration."""
    return lambda self, additions=(): {
        name: value for name, value in build(self, additions).items() if name != "GIT_CONFIG_GLOBAL"
    }


def read_agents_home(build: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Return the environment of git with the agent's home, and without what keeps it from the configuration there."""
    unguarded = read_home(build)
    return lambda self, additions=(): {**unguarded(self, additions), "HOME": f"{self._home.parent}/run/home"}


def without_file_size(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a builder of what a sandbox is told that says nothing of how large a file may become."""
    return lambda *args, **options: tuple(
        (word, value) for word, value in build(*args, **options) if not value.startswith("fsize ")
    )


def run_unconfined(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return a way to run programs that starts them outside of the sandbox that was proved."""
    return lambda sandbox, request, **options: run(Sandbox("none", sandbox.machine), request, **options)


def run_in_workspace(self: Any, *arguments: str, environment: Any = None) -> bytes:
    return bytes(self._git.run(*arguments, cwd=self._root, environment=environment))


def commit_on_newest(self: Any, tip: str, message: str, *, author: str, at: Any) -> str:
    """Commit the tree on whatever main is by now, as a push without a recorded base would."""
    del author, at
    newest = self.find_remote_sha("main")
    self._remote("fetch", "--quiet", self._remote_url, newest)
    who = {f"GIT_{role}_{field}": "x" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    tree = self._run("rev-parse", f"{tip}^{{tree}}").decode().strip()
    return str(self._run("commit-tree", tree, "-p", newest, stdin=message.encode(), environment=who).decode().strip())


def import_all(self: Any, bundle: Any) -> str:
    self._run("fetch", "--quiet", "--update-head-ok", str(bundle), "+refs/*:refs/*")
    return str(self._run("rev-parse", "refs/coven/result").decode().strip())


def weaken_supervisor(path: Path) -> Path:
    """Return a copy of the supervisor that ends nothing when its program has ended."""
    weak = Path(tempfile.mkdtemp()) / path.name
    source = path.read_text()
    weak.write_text(source.replace("survivors = self._end_everything()", "survivors = False"))
    return weak


def read_anything(self: Any, name: str, limit: int) -> bytes | None:
    place = self.root / HAND_OFF_FOLDER / name
    return place.read_bytes()[:limit] if place.exists() else None


READING_ANYTHING: Final[Patch] = ("coven_action.adapters.git.workspace.GitWorkspace.read_hand_off", read_anything)
PARSING_ANYTHING: Final[Patch] = (
    "coven_action.stages.attempting._read_result",
    lambda path: parse_result(path.read_bytes()),
)
FORGIVING: Final[tuple[Patch, ...]] = (
    ("coven_action.errors.Error.exit_code", 0),
    ("coven_action.stages.publish.ENDINGS", dict.fromkeys(Ending, ENDINGS[Ending.PUBLISHED])),
)
INHERITING: Final[Patch] = ("coven_action.stages.runtimes.runtime_environment", Made(inherit))
PUSHING_THE_TIP: Final[Patch] = (
    "coven_action.adapters.git.publication.GitPublicationRepository.commit",
    lambda self, tip, message, *, author, at: tip,
)
OUR_FILES: Final = Reason("the test reads the files we ship; there is no guard in between to take away")
FIXED: Final = "ghadelimiter_fixed"
NO_FINDING: Final[Patch] = ("coven_action.core.redaction.redactor.Redactor.find", nothing_found)
NO_COVERING: Final[Patch] = ("coven_action.core.redaction.redactor.Redactor.find_spans", lambda self, view: [])

TRUSTED: Final = Trust(scope=TrustScope.MAINTAINER, may_start=True, reason="not asked")
ALL_TRUSTED: Final[tuple[Patch, ...]] = (
    ("coven_action.stages.asking.decide_trust", lambda *_: TRUSTED),
    ("coven_action.stages.asking.judge_author", lambda *_: judge_trigger(TRUSTED)),
)


class Anybody(frozenset[int]):
    """A set that every id is in."""

    def __contains__(self, value: object) -> bool:
        return True


def forget_thread(parse: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Return a reader of events that forgets the text as it stood, so that it is read when the run begins."""
    return lambda name, payload: parse(name, payload).model_copy(update={"thread": None})


def hear_the_asker(freeze: Callable[..., Any]) -> Callable[..., Any]:
    """Return what freezes a text and names whoever asked as the one author of it."""
    return lambda event, *args, **options: freeze(event, *args, **options).model_copy(
        update={"authors": (event.sender.model_copy(update={"type": "User"}),)}
    )


class Permissive(dict[tuple[str, str], Any]):
    """A table that has an answer for everything."""

    def get(self, key: Any, default: Any = None) -> Any:
        del key, default
        return _read_labeled


def unchanged(text: str, **_: Any) -> Sanitised:
    return Sanitised(text)


def plainly(text: str, **_: Any) -> str:
    return text


def render_twice(render: Callable[..., str]) -> Callable[..., str]:
    """Return a renderer that takes what it has rendered for a template."""
    return lambda self, template, values: self._environment.from_string(render(self, template, values)).render(values)


def ask_anybody(register: Callable[..., None]) -> Callable[..., None]:
    """Return a registration after which any issuer is asked, and taken for the one that is registered."""

    class Anyone(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            del key, default
            (keys,) = self.values()
            return keys

    def register_all(self: Any, issuers: Any) -> None:
        register(self, issuers)
        self._key_sets = Anyone(self._key_sets)

    return register_all


def across_accounts(name: str, ordinal: int = 1) -> Patch:
    """Return the patch that takes the account out of a query of the endpoint's services."""

    def make(function: Any) -> Any:
        from tests.hosted.predicates import rebuild_without

        return rebuild_without(function, ordinal)

    return f"coven_action.hosted.services.{name}", Made(make)


def statement_across_accounts(name: str, built_from: str, ordinal: int = 1) -> Patch:
    """Return the patch that takes the account out of a query that the bundles are found by, or of what builds it."""

    def make(statement: Any) -> Any:
        del statement
        from tests.hosted.predicates import Predicate, rebuild_statement

        return rebuild_statement(Predicate("services.bundles", built_from, ordinal), name)

    return f"coven_action.hosted.services.bundles.{name}", Made(make)


def read_replies_of_all(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reader of stored answers that finds the first account's under everybody's key."""

    def read_all(self: Any, keys: Any) -> Any:
        asked = list(keys)
        found = read(self, [*asked, *((1, key) for _, key in asked)])
        return {(tenant, *place[1:]): reply for place, reply in found.items() for tenant in (1, 2, 3)}

    return read_all


PLAIN_TITLES: Final[Patch] = ("coven_action.core.publication.publication.sanitise_title", plainly)
PLAIN_CELLS: Final[tuple[Patch, ...]] = (
    ("coven_action.adapters.templates.escape_markdown", plainly),
    ("coven_action.adapters.templates.render_code_span", lambda text: f"`{text}`"),
)
PLAIN_LOG: Final[Patch] = ("coven_action.adapters.actions.quote_for_log", plainly)
NO_SANITISING: Final[Patch] = ("coven_action.adapters.templates.sanitise_output", unchanged)


def in_gateway(case: str) -> Patch:
    """Return the patch by which the gateway's own process is started with the other patches of a case."""
    return (GATEWAY_STARTER, _WeakenedStarter(case))


class _WeakenedStarter:
    """Stands where the gateway's starter has the module `subprocess`."""

    PIPE, DEVNULL, TimeoutExpired = subprocess.PIPE, subprocess.DEVNULL, subprocess.TimeoutExpired

    def __init__(self, case: str) -> None:
        path = [str(Path(__file__).resolve().parents[2]), *sys.path]
        self.code = (
            f"import sys; sys.path[:] = {path!r}\n"
            f"from tests.redteam.disarm import stay_disarmed; stay_disarmed({case!r})\n"
            "from coven_action.adapters.gateway.program import main; sys.exit(main())"
        )

    def Popen(self, argv: list[str], **options: Any) -> "subprocess.Popen[bytes]":  # noqa: N802 - as in `subprocess`
        return subprocess.Popen([argv[0], "-c", self.code], **options)


def stay_disarmed(case: str) -> None:
    """Apply the patches of a case for good, in a process that ends with it."""
    for name, replacement in DISARM[case]:
        if name != GATEWAY_STARTER:
            owner, attribute = _resolve(name)
            value = replacement.make(getattr(owner, attribute)) if isinstance(replacement, Made) else replacement
            setattr(owner, attribute, value)


def forward_anywhere(request: Callable[..., Any]) -> Callable[..., Any]:
    """Return a way to ask a host that goes where the agent, or an answer, says, with everything it was given."""

    @asynccontextmanager
    async def ask(self: Any, method: bytes, path: bytes, headers: Any, body: bytes) -> AsyncIterator[Any]:
        host = dict(headers)[b"host"].decode()
        if path.startswith(b"https://"):
            host, _, rest = path[8:].decode().partition("/")
            path = f"/{rest}".encode()
        self._order, self._idle = self._order.model_copy(update={"host": host}), []
        async with request(self, method, path, headers, body) as answered:
            location = dict(answered.headers).get(b"location")
            if location is None:
                yield answered
                return
        async with ask(self, method, location, headers, body) as answered:
            yield answered

    return ask


def accept_absolute(find: Callable[..., Any]) -> Callable[..., Any]:
    """Return a look-up of endpoints that looks at the path alone of a whole address."""
    return lambda provider, head: find(provider, replace(head, target=re.sub(rb"^https?://[^/]+", b"", head.target)))


def take_hosts_name(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a builder of headers that takes the host from the agent."""
    return lambda provider, head, *, host, key, length: build(
        provider, head, host=head.find(b"host").decode(), key=key, length=length
    )


async def read_anything_as_hello(reader: Any, host: str) -> bytes:
    del host
    return bytes(await reader.read(64 * 1024))


GATEWAY_STARTER: Final = "coven_action.adapters.gateway.process.subprocess"
CONVERSATION: Final = "coven_action.adapters.gateway.conversation"
SHARED_NETWORK: Final[Patch] = (
    "coven_action.core.sandbox.bubblewrap.NAMESPACES",
    tuple(name for name in NAMESPACES if name != NETWORK_NAMESPACE),
)
UNCONFINED: Final[tuple[Patch, ...]] = (
    (
        "coven_action.core.sandbox.backends.build_bubblewrap",
        lambda program, request, machine, place: build_unconfined(request, machine, place),
    ),
    (
        "coven_action.core.sandbox.backends.build_root_bubblewrap",
        lambda program, request, machine, place, user: build_unconfined(request, machine, place),
    ),
    (
        "coven_action.core.sandbox.backends.build_landlock",
        lambda request, machine, place, user: build_unconfined(request, machine, place),
    ),
)
"""Every sandbox starts its program and confines nothing."""
STAGES_UNCONFINED: Final[Patch] = ("coven_action.adapters.sandbox.confinement.run_confined", Made(run_unconfined))
"""The sandbox is proved as it is, and then the stages start nothing in it."""
NOBODY_ENDED: Final[tuple[Patch, ...]] = (
    ("coven_action.adapters.runtime_process.SUPERVISOR", Made(weaken_supervisor)),
    ("coven_action.adapters.runtime_process._find_foreign_children", lambda proc: Anybody()),
)
BELIEVED: Final[Patch] = ("coven_action.core.sandbox.probes.compute_level", lambda results: "enforced")
"""The level is what somebody says, not what the probes have seen."""

DISARM: Final[Mapping[str, tuple[Patch, ...] | Reason]] = {
    "test_s10_protected_paths_hold_in_any_spelling": (
        ("coven_action.core.verification.protected_paths.fold_path", lambda path: tuple(path.split("/"))),
    ),
    "test_s10_protected_paths_hold_through_links": (without("protected-paths"),),
    "test_s10_links_stay_inside": (without("tree"),),
    "test_s3_every_encoding_is_found": (NO_FINDING, NO_COVERING),
    "test_s3_no_secret_leaves_in_a_change": (NO_FINDING, NO_COVERING),
    "test_s3_no_secret_leaves_in_words": (NO_FINDING, NO_COVERING),
    "test_s3_no_secret_leaves_in_the_log": (NO_COVERING,),
    "test_s3_what_processes_hold_does_not_leave": (NO_FINDING, NO_COVERING),
    "test_s26_outputs_hold_no_secret": (NO_COVERING,),
    "test_s28_a_failing_scanner_stops_the_push": (
        ("coven_action.stages.examining.find_kinds", lambda *_: frozenset()),
    ),
    "test_s2_outsiders_stop_in_plan": ALL_TRUSTED,
    "test_s2_allow_lists_hold_ids": (
        # The document's model holds the method itself, so its body is what is replaced.
        ("coven_action.core.configuration.value_types.WholeNumber.parse.__code__", (lambda self, value: 1).__code__),
    ),
    "test_s4_only_permission_of_the_id_counts": (("coven_action.core.trust.trust._denied", lambda *_: TRUSTED),),
    "test_s4_bots_are_known_by_id": (("coven_action.core.trust.events.Actor.is_bot", False),),
    "test_s4_an_error_denies": (
        *ALL_TRUSTED,
        ("coven_action.adapters.github_api.GitHubAPI.find_permission", lambda *_: None),
    ),
    "test_s7_the_text_at_the_trigger_is_used": (("coven_action.stages.plan.parse_event", Made(forget_thread)),),
    "test_s7_a_dispatch_run_again_reads_no_later_text": (
        ("coven_action.stages.asking.decide_late_edits", lambda late, *, run_attempt: None),
    ),
    "test_s7_later_comments_are_not_read": Reason("no code of this version reads comments into a brief"),
    "test_s8_unknown_events_start_nothing": (("coven_action.core.trust.events.READERS", Permissive()),),
    "test_s30_own_events_start_nothing": (("coven_action.core.trust.trust.OWN_IDS", frozenset()),),
    "test_s30_our_comments_give_no_command": (NO_SANITISING,),
    "test_s32_a_copied_marker_is_not_ours": (("coven_action.stages.status_comment.list_own_ids", lambda _: Anybody()),),
    "test_s32_a_name_like_ours_is_not_ours": (
        ("coven_action.stages.status_comment.list_own_ids", lambda _: Anybody()),
    ),
    "test_s32_all_pages_are_searched": (
        ("coven_action.adapters.github_api.GitHubAPI.fetch_comments", lambda self, number: iter(())),
    ),
    "test_s32_a_marker_in_words_is_no_marker": (NO_SANITISING,),
    "test_s13_hidden_text_is_not_read": (("coven_action.core.brief.sanitise_input", unchanged),),
    "test_s14_the_log_holds_no_command": (PLAIN_LOG,),
    "test_s14_annotations_are_one_command": (("actions_toolkit.command.escape_data", plainly),),
    "test_s14_outputs_are_set_one_by_one": (
        ("actions_toolkit.core.prepare_key_value_message", lambda name, value: f"{name}<<{FIXED}\n{value}\n{FIXED}"),
    ),
    "test_s14_a_hostile_run_sets_nothing": (PLAIN_LOG, PLAIN_TITLES, *PLAIN_CELLS, NO_SANITISING),
    "test_s17_images_and_links_are_inert": (NO_SANITISING,),
    "test_s17_a_pull_request_loads_nothing": (NO_SANITISING,),
    "test_s18_words_do_not_act": (NO_SANITISING,),
    "test_s18_a_commit_message_does_what_we_say": (PLAIN_TITLES,),
    "test_x1_templates_are_not_evaluated": (
        ("coven_action.adapters.templates.MarkdownTemplates.render", Made(render_twice)),
    ),
    "test_x5_a_cell_stays_a_cell": PLAIN_CELLS,
    "test_s9_planted_configurations_are_not_read": (
        ("coven_action.adapters.github_api.GitHubAPI.find_file", lambda *_: siege_configuration().encode()),
    ),
    "test_s9_a_branchs_configuration_is_not_read": (
        ("coven_action.adapters.github_api.GitHubAPI.get_branch_sha", Made(prefer_branch)),
    ),
    "test_s9_variables_of_the_job_are_not_inherited": (INHERITING,),
    "test_s11_the_workspaces_git_directory_is_not_used": (
        ("coven_action.adapters.git.workspace.GitWorkspace._run", run_in_workspace),
    ),
    "test_s11_a_planted_git_directory_is_replaced": (
        ("coven_action.adapters.git.workspace.remove_folder", lambda folder: None),
    ),
    "test_s11_our_gits_home_is_not_read": (("coven_action.adapters.git.program.Git._environment", Made(read_home)),),
    "test_s11_the_publication_clone_is_ours": (
        ("coven_action.adapters.folder.DocumentFolder.make_folder", lambda self, name: self.folder / name),
        ("coven_action.adapters.git.program._SETTINGS", ()),
    ),
    "test_s12_command_files_are_not_handed_over": (INHERITING,),
    "test_s15_branch_names_are_ours": Reason("no text of an agent is ever part of a branch's name"),
    "test_s16_foreign_names_are_not_ours": (
        ("coven_action.core.publication.targets._OWN_BRANCH", re.compile("(?is).*?([0-9]).*")),
    ),
    "test_s16_files_named_like_options_are_files": Reason(
        "git is given one constant pattern and no name of the agent's"
    ),
    "test_s19_a_moving_base_changes_nothing_else": (
        ("coven_action.adapters.git.publication.GitPublicationRepository.commit", commit_on_newest),
    ),
    "test_s19_a_base_in_the_way_stops_the_push": (without("freshness"),),
    "test_x2_a_forged_commit_is_made_anew": (PUSHING_THE_TIP,),
    "test_x4_a_tip_stands_on_the_base": (without("tree"),),
    "test_x4_other_refs_are_left_out": (
        ("coven_action.adapters.git.publication.GitPublicationRepository.import_bundle", import_all),
    ),
    "test_x4_malformed_trees_are_refused": (
        ("coven_action.adapters.git.publication.GitPublicationRepository._check_objects", lambda self, tip: None),
    ),
    "test_x4_what_is_no_bundle_is_refused": (
        (
            "coven_action.adapters.git.publication.GitPublicationRepository.import_bundle",
            lambda self, bundle: self._base_sha,
        ),
    ),
    "test_s12_a_daemon_is_ended": NOBODY_ENDED,
    "test_s12_no_daemon_outlives_the_sandbox": (*UNCONFINED, *NOBODY_ENDED),
    "test_s12_rewritten_documents_are_noticed": (("coven_action.stages.publish.check_digest", lambda *_: None),),
    "test_s31_forged_checks_are_no_success": (("coven_action.stages.judging.check_digest", lambda *_: None),),
    "test_s21_giant_files_are_not_read": (
        ("coven_action.stages.run.HAND_OFF_LIMIT", 2**28),
        ("coven_action.stages.attempting.MAX_RESULT_BYTES", 2**28),
    ),
    "test_s21_giant_changes_are_refused": (without("limits"),),
    "test_s21_archives_stay_in_their_folder": (
        ("coven_action.core.contract.archive_reading._check_member", lambda *_: None),
    ),
    "test_s21_archives_do_not_explode": (
        ("coven_action.core.contract.archive_reading._Bounded.read", lambda self, size: self._stream.read(size)),
        ("coven_action.core.contract.archive_reading.sum", lambda sizes: 0),
    ),
    "test_s31_an_error_of_github_is_no_success": FORGIVING,
    "test_s31_a_broken_runtime_is_no_success": FORGIVING,
    "test_x3_links_are_not_read": (READING_ANYTHING,),
    "test_x3_pipes_do_not_block": (READING_ANYTHING, PARSING_ANYTHING),
    "test_x3_a_linked_result_is_none": (PARSING_ANYTHING,),
    "test_s2_templates_write_no_cache": OUR_FILES,
    "test_s15_no_script_holds_an_expression": OUR_FILES,
    "test_s22_everything_is_pinned": OUR_FILES,
    "test_s22_check_finds_what_is_not_pinned": (("coven_action.core.workflows.check.CHECKS", ()),),
    "test_s23_templates_lend_nothing": OUR_FILES,
    "test_s23_check_finds_what_is_given_away": (
        ("coven_action.core.workflows.check.CHECKS", ()),
        ("coven_action.core.workflows.check.check_permissions", lambda uses, *, hosted: ()),
        ("coven_action.core.workflows.check.check_triggers", lambda uses, config: ()),
    ),
    "test_s24_only_the_pinned_archive_is_installed": (
        ("coven_action.adapters.runtime_install._verify_digest", lambda *_: None),
    ),
    "test_s24_the_cache_is_verified_every_time": (
        ("coven_action.adapters.runtime_install._verify_cached", lambda *_: None),
    ),
    "test_s28_no_gate_may_fail_quietly": OUR_FILES,
    "test_s29_poisoned_proposals_are_rejected": (("coven_action.core.memory.judging._CHECKS", ()),),
    "test_s29_what_may_not_be_read_is_withheld": (
        ("coven_action.core.memory.selection._CHECKS", ()),
        ("coven_action.core.memory.selection._find_revocation", lambda *_: None),
    ),
    "test_s29_no_words_lend_a_strangers_issue_trust": (("coven_action.stages.plan.freeze_text", Made(hear_the_asker)),),
    "test_s29_a_listed_bots_own_words_are_a_strangers": (
        ("coven_action.stages.asking._judge_author", lambda event, trust, *_: judge_trigger(trust)),
    ),
    "test_s29_memory_is_quoted_data": (
        ("coven_action.core.memory.materialising._render_section", lambda entry: f"\n{entry.text}\n"),
    ),
    "test_s20_workflows_and_owners_are_refused_with_their_patch": (without("protected-paths"),),
    "test_s33_forged_tokens_are_refused": (
        ("coven_action.core.oidc.tokens._check_header", lambda header: header["kid"]),
        ("coven_action.hosted.oidc.verify_signature", lambda token, key: None),
    ),
    "test_s33_foreign_tokens_are_refused": (("coven_action.core.oidc.claims.CHECKED", {}),),
    "test_s33_strangers_are_not_asked": (("coven_action.hosted.oidc.TokenVerifier.register", Made(ask_anybody)),),
    "test_s33_a_flood_of_names_fetches_nothing": (("coven_action.hosted.oidc.COOLDOWN", timedelta(0)),),
    "test_s33_impostors_are_turned_away": (("coven_action.core.oidc.authority.ADMISSION", ()),),
    "test_s33_a_token_opens_one_session": (("coven_action.hosted.services.sessions._claim_jti", lambda *_: None),),
    "test_s34_nothing_of_an_account_is_told_to_another": (
        across_accounts("memory_entries.find_entry"),
        across_accounts("memory_entries.list_versions"),
        across_accounts("memory_entries.build_memories"),
        across_accounts("memory_reading.list_memory"),
        across_accounts("events.read_events", 2),
        across_accounts("runs.read_run"),
        across_accounts("runs.list_runs"),
        across_accounts("exports.iterate_rows"),
        across_accounts("usage.read_usage"),
        statement_across_accounts("_NEWEST_OF", "_NEWEST"),
        statement_across_accounts("_build_named", "_READ", 2),
        statement_across_accounts("_build_holding", "_HOLDING"),
    ),
    "test_s34_nobody_learns_what_exists": (across_accounts("memory_entries.find_entry"),),
    "test_s34_a_repeated_key_repeats_ones_own_answer": (
        ("coven_action.hosted.store.transaction.Group._read_replies", Made(read_replies_of_all)),
    ),
    "test_s1_no_credential_is_in_reach": UNCONFINED,
    "test_s5_no_process_or_file_shows_a_secret": UNCONFINED,
    "test_s6_no_process_outside_is_traced": UNCONFINED,
    "test_s6_a_setuid_program_gives_nothing": UNCONFINED,
    "test_s6_where_privilege_can_be_gained_nothing_starts": (BELIEVED,),
    "test_s12_what_later_steps_read_is_out_of_reach": UNCONFINED,
    "test_s24_a_bound_program_is_not_exchanged": UNCONFINED,
    "test_s25_what_a_checkout_leaves_is_out_of_reach": UNCONFINED,
    "test_s25_where_a_credential_is_in_reach_nothing_starts": (BELIEVED,),
    "test_s25_every_checkout_keeps_no_credential": OUR_FILES,
    "test_s27_nothing_is_reached_from_inside": (SHARED_NETWORK,),
    "test_s27_no_tunnel_leads_elsewhere": (
        in_gateway("test_s27_no_tunnel_leads_elsewhere"),
        (f"{CONVERSATION}.verify_tunnel_target", lambda target, allowed: target.rpartition(":")[0]),
        (f"{CONVERSATION}.read_hello", read_anything_as_hello),
        ("coven_action.adapters.gateway.upstream.is_public_address", lambda text: True),
    ),
    "test_s27_what_is_listed_is_reached": Reason("it shows that the way to the gateway is open; nothing is guarded"),
    "test_s9_a_key_goes_to_its_one_host_only": (
        in_gateway("test_s9_a_key_goes_to_its_one_host_only"),
        (f"{CONVERSATION}.check_host_header", lambda value, model_host: None),
        (f"{CONVERSATION}.find_endpoint", Made(accept_absolute)),
        (f"{CONVERSATION}.build_upstream_headers", Made(take_hosts_name)),
        ("coven_action.adapters.gateway.upstream.Upstream.request", Made(forward_anywhere)),
        ("coven_action.core.gateway.masking.KeyMask.feed", lambda self, chunk: chunk),
    ),
    "test_s34_nobody_decides_for_another": (across_accounts("memory_decisions.end_entries"),),
    "test_s3_what_a_confined_agent_knows_does_not_leave": (NO_FINDING, NO_COVERING),
    "test_s3_what_a_confined_check_prints_does_not_leave": (NO_FINDING, NO_COVERING),
    "test_s3_a_tasks_title_is_not_repeated_with_its_secret": (NO_FINDING, NO_COVERING),
    "test_s3_a_confined_agent_gets_hold_of_nothing": (STAGES_UNCONFINED,),
    "test_s26_no_output_holds_what_a_path_shows": (NO_FINDING, NO_COVERING),
    "test_s10_protected_paths_hold_from_inside": (without("protected-paths"),),
    "test_s11_what_the_agent_plants_is_not_started_outside": (
        ("coven_action.adapters.git.workspace.GitWorkspace._run", run_in_workspace),
        ("coven_action.adapters.git.program.Git._environment", Made(read_agents_home)),
    ),
    "test_s11_our_gits_home_is_out_of_reach": (
        STAGES_UNCONFINED,
        ("coven_action.adapters.git.program.Git._environment", Made(read_home)),
    ),
    "test_s21_no_depth_keeps_a_run_from_being_removed": (
        ("coven_action.adapters.git.workspace.remove_tree", shutil.rmtree),
    ),
    "test_s21_what_cannot_be_compared_is_refused": (
        ("coven_action.adapters.git.workspace.check_sizes", lambda *_: None),
    ),
    "test_s21_a_bundle_does_not_explode": (("coven_action.adapters.git.bundles.check_sizes", lambda *_: None),),
    "test_s21_a_confined_agent_does_not_fill_the_disk": (
        ("coven_action.core.sandbox.bubblewrap.build_order", Made(without_file_size)),
        ("coven_action.core.sandbox.landlock.build_order", Made(without_file_size)),
        ("coven_action.adapters.sandbox.limits.LimitedTree.is_within_bounds", lambda self, root: True),
    ),
    "test_s31_a_confined_runtime_that_breaks_off_is_no_success": FORGIVING,
    "test_s31_no_check_passes_by_what_it_pretends": (
        ("coven_action.core.checks.conclusion.judge_run", lambda run: "passed"),
    ),
}


def disarm(case: str, monkeypatch: Any) -> None:
    """Apply the patches of a case."""
    patches = DISARM[case]
    assert not isinstance(patches, Reason), f"{case} cannot be disarmed: {patches}"
    for name, replacement in patches:
        owner, attribute = _resolve(name)
        value = replacement.make(getattr(owner, attribute)) if isinstance(replacement, Made) else replacement
        # A name of Python's own, such as `sum`, is not there before a module is given one.
        monkeypatch.setattr(owner, attribute, value, raising=False)


def _resolve(name: str) -> tuple[Any, str]:
    """Return the object that a dotted name's last part is an attribute of, and that part."""
    *path, attribute = name.split(".")
    for length in range(len(path), 0, -1):
        try:
            owner = importlib.import_module(".".join(path[:length]))
        except ModuleNotFoundError:
            continue
        for part in path[length:]:
            owner = getattr(owner, part)
        return owner, attribute
    raise AssertionError(f"nothing is called {name}")
