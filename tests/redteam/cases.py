"""How a case of the red-team suite is written once and run twice.

A case is a function that attacks and returns, for each attempt, whether it did harm. With the guard on no attempt may; with
the guard disarmed (`disarm.py`) every one must, so that no case passes because its attack was never effective.

    @redteam("S10", "a changed path is judged by what it becomes on any file system", attacks=SPELLINGS)
    def test_s10_protected_paths_hold_in_any_spelling(siege, attack):
        aftermath = siege.attack({"do": "write", "path": attack, "text": "x"})
        return {"published": aftermath.pushed}

`LINES` is the list of what must hold. docs/security-tests.md and the table of `make redteam` are made from it and from
the cases.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.redteam.disarm import DISARM, Reason, disarm

GUARDS: Final = ("on", "disarmed")

LINES: Final[Mapping[str, str]] = {
    "S1": "Inside the sandbox no credential that can write exists: in variables, files, descriptors, git configuration, sockets.",
    "S2": (
        "An outsider's issue, comment or label ends in `plan`, without a call of a model; `*` is no value of an "
        "allow-list; no template writes a cache that a release could read."
    ),
    "S3": (
        "A secret in any encoding does not leave through a title, body, commit, branch, file name, patch, log, memory or "
        "check text."
    ),
    "S4": "Only GitHub's answer about a numeric id counts, never a name or its `[bot]`; an error denies.",
    "S5": (
        "No secret stands in any process's environment, command line or descriptors, in the runner's files or "
        "`.git/config`; pieces of 12 characters are covered."
    ),
    "S6": "`sudo` and tracing of parents fail inside; where either works the run stops before the model is called.",
    "S7": "The text as it stood at the trigger is what is used; comments written later are not read.",
    "S8": "Every event has a rule of its own; an unknown one starts nothing.",
    "S9": (
        "Configuration and environment come from the default branch and from us, never from a checkout; a model's key "
        "goes to its one host only."
    ),
    "S10": "Protected paths hold through symbolic and hard links, `..`, any spelling, and for files that do not exist yet.",
    "S11": "`publish` works in a clone of its own; planted hooks, filters, monitors and includes never run.",
    "S12": (
        "What a run leaves behind is ended; what it writes to the documents afterwards is noticed; it is given no file of "
        "the runner's commands, and reaches none."
    ),
    "S13": "Hidden text does not reach the familiar; the sanitiser is at a fixed point.",
    "S14": "No text of an agent sets an output or is a workflow command.",
    "S15": "Names of branches are built by us; no expression stands in a script of ours or of a template.",
    "S16": "No name from elsewhere is read as an option or as an address by git.",
    "S17": "Images and links are inert in every syntax.",
    "S18": (
        "Mentions, closing keywords, slash commands and trailers of an agent are inert, in bodies, titles and commit "
        "messages."
    ),
    "S19": "The change is compared with the recorded base; a base that moves during the run changes nothing else.",
    "S20": "Workflows and CODEOWNERS cannot be changed; the refusal says so and keeps the patch.",
    "S21": "Archives and files that would fill the disk, the memory or another folder are refused, in bounded memory.",
    "S22": "Every action is named by a commit.",
    "S23": "No template starts on `pull_request_target`, and none gives an agent's job an identity token.",
    "S24": "What is installed is the pinned archive; a mismatch stops the run; what runs from it does not change it.",
    "S25": "The checkout leaves no credential behind.",
    "S26": "No output holds a secret.",
    "S27": "Under `enforced` nothing of the network can be reached but the model's host.",
    "S28": "A scanner that fails, or finds something, lets nothing through.",
    "S29": "Memory is quoted data: what is untrusted, uncited, stale, oversized or an instruction does not get in.",
    "S30": "What we write ourselves never starts a run.",
    "S31": "A fault of any stage concludes as a failure that names the stage.",
    "S32": "A status comment is ours only with its marker and an own author; all pages are searched.",
    "S33": "A forged, replayed or foreign identity token is refused by the endpoint.",
    "S34": "No tenant of the endpoint sees anything of another.",
    "X1": "No template is evaluated but ours.",
    "X2": "A task is recognised by a line that only we write.",
    "X3": "What the runtime leaves is read as plain files of bounded size.",
    "X4": "A bundle gives us one commit on the recorded base, and nothing else.",
    "X5": "Tables, terminals and directions of writing are not broken by names and titles.",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One test of the suite.

    Attributes:
        name: The test's name; the key of its row in `DISARM`.
        line: The key of `LINES`.
        holds: What this case shows, one clause.
        attacks: Names of its attacks; one empty name where it has a single one.
        path: The test's module.
    """

    name: str
    line: str
    holds: str
    attacks: tuple[str, ...]
    module: str

    @property
    def reason(self) -> str | None:
        """Why the guard cannot be disarmed, or None."""
        entry = DISARM[self.name]
        return str(entry) if isinstance(entry, Reason) else None


CASES: Final[dict[str, Case]] = {}


def redteam(
    line: str, holds: str, *, attacks: Mapping[str, Any] | Sequence[str] | None = None
) -> Callable[[Callable[..., Mapping[str, bool]]], Callable[..., None]]:
    """Turn a function that attacks into a test that runs with the guard on and with the guard disarmed.

    Args:
        line: The key of `LINES`.
        holds: What the case shows.
        attacks: Name -> what the function gets as its second argument; a list of names is its own values.
    """
    table = dict(attacks) if isinstance(attacks, Mapping) else {name: name for name in attacks or [""]}

    def decorate(function: Callable[..., Mapping[str, bool]]) -> Callable[..., None]:
        name = function.__name__
        if not name.startswith(f"test_{line.lower()}_"):
            raise AssertionError(f"{name} does not begin with its line's id")
        case = Case(name, line, holds, tuple(table), function.__module__)
        CASES[name] = case
        guards = GUARDS[: 1 if case.reason else 2]
        # That an attack would do harm is proved where a change lands; that it does none, every time.
        marks = {"disarmed": [pytest.mark.slow]}
        rows = [pytest.param(value, guard, marks=marks.get(guard, ())) for value in table.values() for guard in guards]
        ids = [f"{_identifier(key)}{'-' if key else ''}{guard}" for key in table for guard in guards]

        @pytest.mark.parametrize(("attack", "guard"), rows, ids=ids)
        def test(siege: Any, attack: Any, guard: str, monkeypatch: Any) -> None:
            if guard == "disarmed":
                disarm(name, monkeypatch)
            harms = function(siege, attack) if attacks is not None else function(siege)
            assert harms, "the case attempted nothing"
            done = sorted(attempt for attempt, harmed in harms.items() if harmed)
            if guard == "on":
                assert done == [], "the guard is on, and this did harm"
            else:
                assert sorted(harms) == done, (
                    "the guard is disarmed, and some attempt did no harm: was it ever effective?"
                )

        test.__name__ = test.__qualname__ = name
        test.__doc__ = holds
        test.__module__ = function.__module__
        return test

    return decorate


def _identifier(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
