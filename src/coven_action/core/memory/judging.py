"""Judge what an agent hands off about memory: each line pending or rejected, with one word and one sentence. Pure.

Nothing is applied here or anywhere else in the runner: a proposal that passes waits for a person. The checks of a
proposal run in the order of `_CHECKS`, cheap ones first: form, right, size, visibility (what is hidden could hide the
rest from the screens), secrets, personal data, instructions, secrets in names, revocation, citations, number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.memory.entries import (
    MAX_TEXT_BYTES,
    Citation,
    EntryKind,
    ManifestEntry,
    ReadFile,
    hash_cited_lines,
    is_citable,
)
from coven_action.core.memory.hand_off import Proposal, Use
from coven_action.core.memory.keys import build_canonical_key, is_denied, is_entry_id, is_key
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.memory.screens import screen_name, screen_proposal
from coven_action.core.memory.selection import Withheld, WithheldCode
from coven_action.core.records import Record
from coven_action.core.redaction.redactor import Redactor

MAX_PROPOSALS: Final = 3
"""Proposals of one run that may wait for a person: more would be read by nobody."""

RejectionCode = Literal[
    "not_materialised",
    "out_of_scope",
    "revoked",
    "stale",
    "expired",
    "secret",
    "pii",
    "instruction",
    "invisible_text",
    "uncited",
    "too_large",
    "too_many",
    "malformed",
]
_Rejection = tuple[RejectionCode, str]

WITHHELD_REASONS: Final[Mapping[WithheldCode, RejectionCode]] = {
    "revoked": "revoked",
    "stale": "stale",
    "expired": "expired",
    "out_of_scope": "out_of_scope",
    "not_shareable": "out_of_scope",
}
"""How the use of an entry that was withheld is rejected; any other withheld entry was `not_materialised`."""


class JudgedProposal(Record):
    """A proposal and its verdict. The text of a rejected one is not repeated: it is what was refused.

    Args:
        line: In the hand-off file.
        key: Where it has the form of one and holds no secret, else "".
        verdict: `pending` waits for a person.
        reason: Why it is rejected.
        sentence: The same for people; no full stop.
        kind: Of a pending one.
        text: Of a pending one.
        citations: Of a pending one: those that exist, with the hashes of their lines.
        replaces: Of a pending one: the version of the entry that has the key now. It stays until a person replaces it.
    """

    line: int
    key: str
    verdict: Literal["pending", "rejected"]
    reason: RejectionCode | None = None
    sentence: str
    kind: EntryKind | Literal[""] = ""
    text: str = ""
    citations: tuple[Citation, ...] = ()
    replaces: str | None = None


class JudgedUse(Record):
    """A use and its verdict.

    Args:
        line: In the hand-off file.
        id: Where it has the form of one, else "".
        key: Of the entry, where it is in the manifest.
        version: As above.
        accepted: Whether the entry was there to be used.
        reason: Why it is rejected.
        sentence: The same for people; no full stop.
    """

    line: int
    id: str
    key: str = ""
    version: str = ""
    accepted: bool
    reason: RejectionCode | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class _Situation:
    """What a proposal is held against."""

    policy: MemoryPolicy
    read_file: ReadFile
    redactor: Redactor


def judge_proposals(
    proposals: Sequence[Proposal],
    *,
    policy: MemoryPolicy,
    versions: Mapping[str, str],
    read_file: ReadFile,
    redactor: Redactor,
) -> tuple[JudgedProposal, ...]:
    """Return a verdict for each proposal, in order.

    Args:
        proposals: As handed off.
        policy: Plan's own copy.
        versions: Plan's own copy of which entries exist, by key.
        read_file: Reads the tree that we observed.
        redactor: Finds secrets.
    """
    situation = _Situation(policy, read_file, redactor)
    judged: list[JudgedProposal] = []
    waiting: set[str] = set()
    for proposal in proposals:
        rejection = _find_rejection(proposal, situation) or _check_number(proposal, waiting)
        if rejection is None:
            waiting.add(proposal.key)
            judged.append(_accept(proposal, situation, versions.get(proposal.key)))
        else:
            judged.append(_reject(proposal, situation, *rejection))
    return tuple(judged)


def _accept(proposal: Proposal, situation: _Situation, replaces: str | None) -> JudgedProposal:
    return JudgedProposal(
        line=proposal.line,
        key=proposal.key,
        verdict="pending",
        sentence="it waits for a person" + (f" and would replace version {replaces[:12]}" if replaces else ""),
        kind=proposal.kind,
        text=proposal.text.strip(),
        citations=_find_citations(proposal, situation.read_file),
        replaces=replaces,
    )


def _reject(proposal: Proposal, situation: _Situation, reason: RejectionCode, sentence: str) -> JudgedProposal:
    # Whatever it is rejected for: a key that holds a secret is told to nobody.
    is_fit = is_key(proposal.key) and screen_name(proposal.key, situation.redactor) is None
    key = proposal.key if is_fit else ""
    return JudgedProposal(line=proposal.line, key=key, verdict="rejected", reason=reason, sentence=sentence)


def _find_rejection(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    return next((found for check in _CHECKS if (found := check(proposal, situation)) is not None), None)


def _check_form(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    del situation
    if not is_key(proposal.key):
        return "malformed", "its key is not of the form namespace/name"
    return None if proposal.text.strip() else ("malformed", "its text is empty")


def _check_right(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    del proposal
    if situation.policy.enabled and "repo" in situation.policy.write_scopes:
        return None
    return "out_of_scope", "this run may not propose memory"


def _check_size(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    del situation
    size = len(proposal.text.strip().encode())
    return None if size <= MAX_TEXT_BYTES else ("too_large", f"its text has {size} bytes; {MAX_TEXT_BYTES} are allowed")


def _check_text(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    """Screen text and reason: the reason is shown to whoever approves."""
    for name, text in (("its text", proposal.text.strip()), ("its reason", proposal.why)):
        objection = screen_proposal(text, situation.redactor)
        if objection is not None:
            return objection.reason, f"{name} {objection.sentence}"
    return None


def _check_names(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    """Screen key and cited paths: the key becomes the name of a file, and both are shown to whoever approves."""
    names = (("its key", proposal.key), *(("a path it cites", cited.path) for cited in proposal.citations))
    for name, text in names:
        objection = screen_name(text, situation.redactor)
        if objection is not None:
            return objection.reason, f"{name} {objection.sentence}"
    return None


def _check_revocation(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    repository_id = situation.policy.repo_scope.repository_id
    # Without the id nobody could say which of the revoked keys are this repository's.
    if repository_id is None or is_denied(build_canonical_key(repository_id, proposal.key), situation.policy.denied):
        return "revoked", "a maintainer has revoked this key"
    return None


def _check_citations(proposal: Proposal, situation: _Situation) -> _Rejection | None:
    if _find_citations(proposal, situation.read_file):
        return None
    return "uncited", "it cites no lines that the tree has"


_CHECKS: Final[tuple[Callable[[Proposal, _Situation], _Rejection | None], ...]] = (
    _check_form,
    _check_right,
    _check_size,
    _check_text,
    _check_names,
    _check_revocation,
    _check_citations,
)


def _check_number(proposal: Proposal, waiting: set[str]) -> _Rejection | None:
    if proposal.key in waiting:
        return "malformed", "its key was proposed before in the same run"
    return None if len(waiting) < MAX_PROPOSALS else ("too_many", f"a run may propose {MAX_PROPOSALS}")


def _find_citations(proposal: Proposal, read_file: ReadFile) -> tuple[Citation, ...]:
    """Return the citations that exist in the tree, with the hashes that we computed."""
    found = []
    for cited in proposal.citations:
        if is_citable(cited.path):
            digest = hash_cited_lines(read_file(cited.path), cited.start, cited.end)
            if digest is not None:
                found.append(Citation(path=cited.path, start=cited.start, end=cited.end, sha256=digest))
    return tuple(dict.fromkeys(found))


def judge_uses(
    uses: Sequence[Use], *, manifest: Sequence[ManifestEntry], withheld: Sequence[Withheld]
) -> tuple[JudgedUse, ...]:
    """Return a verdict for each entry that the agent says it used, each once, in order.

    Args:
        uses: As handed off.
        manifest: Plan's own copy.
        withheld: Plan's own copy.
    """
    materialised = {entry.id: entry for entry in manifest}
    reasons = {entry.id: entry for entry in withheld}
    named = {use.used: use for use in reversed(uses)}
    return tuple(_judge_use(named[name], materialised, reasons) for name in dict.fromkeys(use.used for use in uses))


def _judge_use(
    use: Use, materialised: Mapping[str, ManifestEntry], withheld: Mapping[str | None, Withheld]
) -> JudgedUse:
    entry = materialised.get(use.used)
    if entry is not None:
        return JudgedUse(line=use.line, id=entry.id, key=entry.key, version=entry.version, accepted=True)
    named = use.used if is_entry_id(use.used) else ""
    kept_back = withheld.get(use.used)
    if kept_back is None:
        reason: RejectionCode = "not_materialised" if named else "malformed"
        sentence = "no entry of this id was given to the run" if named else "it is no id of an entry"
    else:
        reason = WITHHELD_REASONS.get(kept_back.reason, "not_materialised")
        sentence = f"the entry was withheld from the run: {kept_back.sentence}"
    return JudgedUse(line=use.line, id=named, accepted=False, reason=reason, sentence=sentence)
