"""How each guard is taken away: case -> the patches that disarm exactly it, each one line; or why that cannot be done.

A patch is (dotted name, replacement). A case that runs with its guard disarmed must do harm: this file is the proof that
the attacks are real, and it is used by the tests alone.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coven_action.core import verification
from coven_action.core.events import _read_labeled
from coven_action.core.redaction import Redactor
from coven_action.core.run_trust import judge_trigger
from coven_action.core.sanitising import Sanitised
from coven_action.core.trust import Trust, TrustScope

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
    return ("coven_action.core.verification.STEPS", kept)


def nothing_found(self: Redactor, text: str | bytes) -> tuple[()]:
    del self, text
    return ()


FIXED: Final = "ghadelimiter_fixed"
NO_FINDING: Final[Patch] = ("coven_action.core.redaction.Redactor.find", nothing_found)
NO_COVERING: Final[Patch] = ("coven_action.core.redaction.Redactor.find_spans", lambda self, view: [])

TRUSTED: Final = Trust(scope=TrustScope.MAINTAINER, may_start=True, reason="not asked")
ALL_TRUSTED: Final[tuple[Patch, ...]] = (
    ("coven_action.stages.plan.decide_trust", lambda *_: TRUSTED),
    ("coven_action.stages.plan.judge_author", lambda *_: judge_trigger(TRUSTED)),
)


class Anybody(frozenset[int]):
    """A set that every id is in."""

    def __contains__(self, value: object) -> bool:
        return True


def forget_thread(parse: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Return a reader of events that forgets the text as it stood, so that it is read when the run begins."""
    return lambda name, payload: parse(name, payload).model_copy(update={"thread": None})


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


PLAIN_TITLES: Final[Patch] = ("coven_action.core.publication.sanitise_title", plainly)
PLAIN_CELLS: Final[tuple[Patch, ...]] = (
    ("coven_action.adapters.templates.escape_markdown", plainly),
    ("coven_action.adapters.templates.render_code_span", lambda text: f"`{text}`"),
)
PLAIN_LOG: Final[Patch] = ("coven_action.adapters.actions.quote_for_log", plainly)
NO_SANITISING: Final[Patch] = ("coven_action.adapters.templates.sanitise_output", unchanged)

DISARM: Final[Mapping[str, tuple[Patch, ...] | Reason]] = {
    "test_s10_protected_paths_hold_in_any_spelling": (
        ("coven_action.core.changes.fold_path", lambda path: tuple(path.split("/"))),
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
        ("coven_action.stages.publish.find_kinds", lambda *_: frozenset()),
    ),
    "test_s2_outsiders_stop_in_plan": ALL_TRUSTED,
    "test_s2_allow_lists_hold_ids": (
        # The document's model holds the method itself, so its body is what is replaced.
        ("coven_action.core.config_types.WholeNumber.parse.__code__", (lambda self, value: 1).__code__),
    ),
    "test_s4_only_permission_of_the_id_counts": (("coven_action.core.trust._denied", lambda *_: TRUSTED),),
    "test_s4_bots_are_known_by_id": (("coven_action.core.events.Actor.is_bot", False),),
    "test_s4_an_error_denies": (*ALL_TRUSTED, ("coven_action.adapters.github_api.GitHubAPI.find_permission", lambda *_: None)),
    "test_s7_the_text_at_the_trigger_is_used": (("coven_action.stages.plan.parse_event", Made(forget_thread)),),
    "test_s7_later_comments_are_not_read": Reason("no code of this version reads comments into a brief"),
    "test_s8_unknown_events_start_nothing": (("coven_action.core.events.READERS", Permissive()),),
    "test_s30_own_events_start_nothing": (("coven_action.core.trust.OWN_IDS", frozenset()),),
    "test_s30_our_comments_give_no_command": (NO_SANITISING,),
    "test_s32_a_copied_marker_is_not_ours": (("coven_action.stages.plan.OWN_IDS", Anybody()),),
    "test_s32_a_name_like_ours_is_not_ours": (("coven_action.stages.plan.OWN_IDS", Anybody()),),
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
    "test_s20_workflows_and_owners_are_refused_with_their_patch": (without("protected-paths"),),
}


def disarm(case: str, monkeypatch: Any) -> None:
    """Apply the patches of a case."""
    patches = DISARM[case]
    if isinstance(patches, Reason):
        raise AssertionError(f"{case} cannot be disarmed: {patches}")
    for name, replacement in patches:
        owner, attribute = _resolve(name)
        value = replacement.make(getattr(owner, attribute)) if isinstance(replacement, Made) else replacement
        monkeypatch.setattr(owner, attribute, value)


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
