"""Rows of memory: entries, their wordings, citations and words. What the services of memory share; no rules here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from coven_action.core.endpoint.approval import compute_expiry
from coven_action.core.endpoint.memory_states import RULES, Decision, find_step, list_states
from coven_action.core.endpoint.ranking import (
    MAX_POSTINGS,
    choose_terms,
    extract_path_terms,
    extract_terms,
)
from coven_action.core.endpoint.wire import MAX_TRACED, Memory, MemoryState, MemoryUse, MemoryVersion
from coven_action.core.memory.canonicalisation import canonicalise
from coven_action.core.memory.entries import Citation, EntryKind
from coven_action.core.memory.policy_block import MemoryScope, RetentionPolicy
from coven_action.core.records import sha256_hex
from coven_action.hosted.problems import Problem
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.prepared_query import PreparedQuery, count_places, make_places, number
from coven_action.hosted.store.transaction import RunKey, Transaction
from coven_action.hosted.times import from_milliseconds

SHARED: Final = 0
"""The `scope_id` of what the whole account shares."""

AT_ONCE: Final = 500
"""Rows that one statement names: SQLite takes 32,766 parameters, and a statement that is compiled once is enough."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What an entry says, and what it is for."""

    key: str
    kind: EntryKind
    scope: MemoryScope
    text: str
    branches: tuple[str, ...]
    shareable: bool
    citations: tuple[Citation, ...]

    @property
    def version(self) -> str:
        """The same as the version of an entry in a file: see `MemoryEntry.version`."""
        return sha256_hex(
            canonicalise(
                {
                    "key": self.key,
                    "kind": self.kind,
                    "scope": self.scope,
                    "text": self.text,
                    "branches": self.branches,
                    "shareable": self.shareable,
                    "citations": [citation.model_dump() for citation in self.citations],
                }
            )
        )

    def list_terms(self) -> tuple[str, ...]:
        """Return the words by which it is found: of its key, its text, and the files it cites."""
        said = extract_terms(f"{self.key} {self.text}")
        return tuple(
            dict.fromkeys((*said, *(term for each in self.citations for term in extract_path_terms(each.path))))
        )


def find_entry(source: Reading | Transaction, memory_id: str) -> Row[Any] | None:
    """Return an entry of the tenant."""
    columns = schema.memory.c
    return source.fetch_one(
        select(schema.memory).where(columns.tenant_id == source.tenant_id, columns.memory_id == memory_id)
    )


def get_entry(source: Reading | Transaction, memory_id: str) -> Row[Any]:
    """Return an entry of the tenant.

    Raises:
        Problem: `no-such-resource`: there is none, or it is another tenant's.
    """
    entry = find_entry(source, memory_id)
    if entry is None:
        raise Problem("no-such-resource")
    return entry


def list_entries(source: Reading | Transaction, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Return the tenant's entries that meet the conditions, by id."""
    columns = schema.memory.c
    return source.fetch_all(
        select(schema.memory).where(columns.tenant_id == source.tenant_id, *conditions).order_by(columns.memory_id)
    )


def list_versions(
    source: Reading | Transaction,
    memory_id: str,
    state: MemoryState | None = None,
    *,
    after: tuple[int, str] | None = None,
    limit: int | None = None,
) -> Sequence[Row[Any]]:
    """Return the wordings of an entry, oldest first; those of one state where it is given.

    Args:
        source: Of the tenant.
        memory_id: Which entry.
        state: Those in this state.
        after: Those that come after the one made at this moment with this version.
        limit: How many at most; None for all.
    """
    columns = schema.memory_versions.c
    of_entry = [columns.tenant_id == source.tenant_id, columns.memory_id == memory_id]
    if state is not None:
        of_entry.append(columns.state == state)
    if after is not None:
        of_entry.append(tuple_(columns.created_at, columns.version) > tuple_(*after))
    return source.fetch_all(
        select(schema.memory_versions).where(*of_entry).order_by(columns.created_at, columns.version).limit(limit)
    )


def find_version(source: Reading | Transaction, memory_id: str, version: str) -> Row[Any] | None:
    """Return one wording of an entry."""
    columns = schema.memory_versions.c
    return source.fetch_one(
        select(schema.memory_versions).where(
            columns.tenant_id == source.tenant_id, columns.memory_id == memory_id, columns.version == version
        )
    )


_CITED: Final = schema.citations.c
_CITATIONS: Final = (
    select(
        _CITED.memory_id,
        _CITED.version,
        _CITED.path,
        _CITED.start_line,
        _CITED.end_line,
        _CITED.sha256,
    )
    .where(_CITED.tenant_id == bindparam("of_tenant"))
    .order_by(_CITED.memory_id, _CITED.version, _CITED.ordinal)
)


@lru_cache(maxsize=256)
def _build_citations_of(places: int) -> PreparedQuery:
    return PreparedQuery(_CITATIONS.where(_CITED.memory_id.in_(make_places("wanted", places))))


def read_cited(
    source: Reading | Transaction, versions: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[Row[Any]]]:
    """Return the rows of the citations of wordings, each named by entry and version."""
    found: dict[tuple[str, str], list[Row[Any]]] = {place: [] for place in versions}
    wanted = sorted({memory_id for memory_id, _ in found})
    for start in range(0, len(wanted), AT_ONCE):
        ids = wanted[start : start + AT_ONCE]
        places = count_places(ids)
        asked = {"of_tenant": source.tenant_id, **number("wanted", ids, places)}
        for row in source.fetch_all(_build_citations_of(places), asked):
            place: Any = row[:2]
            # Other wordings of the entry cite as well.
            if place in found:
                found[place].append(row)
    return found


def build_citations(rows: Iterable[Row[Any]]) -> tuple[Citation, ...]:
    """Return citations as values."""
    return tuple(Citation(path=row.path, start=row.start_line, end=row.end_line, sha256=row.sha256) for row in rows)


def read_citations(
    source: Reading | Transaction, versions: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[Citation, ...]]:
    """Return the citations of wordings, each named by entry and version."""
    return {place: build_citations(rows) for place, rows in read_cited(source, versions).items()}


def build_wording(source: Reading | Transaction, entry: Row[Any], version: Row[Any]) -> Wording:
    """Return a wording as a value."""
    place = (version.memory_id, version.version)
    return Wording(
        key=read_key(entry),
        kind=version.kind,
        scope=entry.scope,
        text=version.text,
        branches=tuple(version.branches),
        shareable=version.shareable,
        citations=read_citations(source, [place]).get(place, ()),
    )


def read_key(entry: Row[Any]) -> str:
    """Return the short key: what follows the scope and the id."""
    return str(entry.canonical_key).split("/", 2)[-1]


def insert_entry(
    transaction: Transaction, memory_id: str, canonical_key: str, scope: str, repository_id: int | None
) -> None:
    """Add an entry of which nothing holds yet."""
    transaction.execute(
        insert(schema.memory).values(
            tenant_id=transaction.tenant_id,
            memory_id=memory_id,
            canonical_key=canonical_key,
            scope=scope,
            repository_id=repository_id,
            state="pending",
            revision=1,
            shareable=False,
            created_at=transaction.now,
            updated_at=transaction.now,
        )
    )


def insert_version(transaction: Transaction, memory_id: str, wording: Wording, values: Mapping[str, Any]) -> None:
    """Add a wording with its citations.

    Args:
        transaction: Of the tenant.
        memory_id: The entry, which exists.
        wording: New to it.
        values: The rest of the row: state, proposed_by, trust_scope, why, flags.
    """
    place = {"tenant_id": transaction.tenant_id, "memory_id": memory_id, "version": wording.version}
    transaction.execute(
        insert(schema.memory_versions).values(
            **place,
            kind=wording.kind,
            text=wording.text,
            text_sha256=sha256_hex(wording.text.encode()),
            branches=list(wording.branches),
            shareable=wording.shareable,
            created_at=transaction.now,
            **values,
        )
    )
    if wording.citations:
        transaction.execute(
            insert(schema.citations),
            [
                {
                    **place,
                    "ordinal": ordinal,
                    "path": cited.path,
                    "start_line": cited.start,
                    "end_line": cited.end,
                    "sha256": cited.sha256,
                }
                for ordinal, cited in enumerate(wording.citations)
            ],
        )


def update_version(transaction: Transaction, memory_id: str, version: str, **values: Any) -> None:
    """Change the row of a wording."""
    columns = schema.memory_versions.c
    transaction.execute(
        update(schema.memory_versions)
        .where(columns.tenant_id == transaction.tenant_id, columns.memory_id == memory_id, columns.version == version)
        .values(**values)
    )


def update_entry(transaction: Transaction, entry: Row[Any], **values: Any) -> int:
    """Change the row of an entry and return its new revision."""
    columns = schema.memory.c
    revision = int(entry.revision) + 1
    transaction.execute(
        update(schema.memory)
        .where(columns.tenant_id == transaction.tenant_id, columns.memory_id == entry.memory_id)
        .values(**values, revision=revision, updated_at=transaction.now)
    )
    return revision


def index_terms(transaction: Transaction, entry: Row[Any], wording: Wording) -> None:
    """Make an approved wording findable, in place of what was there."""
    drop_terms(transaction, [entry.memory_id])
    scope_id = entry.repository_id if entry.scope == "repo" else SHARED
    # "" is the word of every entry: it finds those that share no other with the request.
    rows = [
        {
            "tenant_id": transaction.tenant_id,
            "scope_id": scope_id,
            "term": term,
            "branch": branch,
            "memory_id": entry.memory_id,
            "shareable": wording.shareable,
        }
        for branch in dict.fromkeys(wording.branches or ("",))
        for term in ("", *wording.list_terms())
    ]
    transaction.execute(insert(schema.memory_terms), rows)


def drop_terms(transaction: Transaction, memory_ids: Sequence[str]) -> int:
    """Make entries unfindable; return how many rows that took."""
    columns = schema.memory_terms.c
    return transaction.execute(
        delete(schema.memory_terms).where(
            columns.tenant_id == transaction.tenant_id, columns.memory_id.in_(list(memory_ids))
        )
    )


_TERMS: Final = schema.memory_terms.c
# Grouped by the bare column, SQLite would read the whole tenant by the index that is in that order.
_GROUPED: Final = _TERMS.memory_id.concat(literal_column("''"))
_MOST: Final = bindparam("most", type_=Integer)


class _Where(NamedTuple):
    """What is looked through, as far as the wording of a statement depends on it."""

    scopes: int
    branches: int
    shareable_only: bool

    def list_conditions(self) -> list[ColumnElement[bool]]:
        """Return what holds for every row that may be looked at."""
        shareable = [_TERMS.shareable.is_(True)] if self.shareable_only else []
        return [
            _TERMS.tenant_id == bindparam("of_tenant"),
            _TERMS.scope_id.in_(make_places("scope", self.scopes)),
            _TERMS.branch.in_(make_places("branch", self.branches)),
            *shareable,
        ]


# Statements are kept by how many places their lists have.
@lru_cache(maxsize=256)
def _build_counting(where: _Where, terms: int) -> PreparedQuery:
    """Return what counts how many entries hold each word, and of a frequent one no more than has to be known."""
    conditions = where.list_conditions()
    held = {
        term.key: select(_TERMS.memory_id).where(*conditions, _TERMS.term == term).limit(_MOST).subquery()
        for term in make_places("term", terms)
    }
    return PreparedQuery(
        select(
            *(select(func.count()).select_from(entries).scalar_subquery().label(name) for name, entries in held.items())
        )
    )


@lru_cache(maxsize=256)
def _build_matching(where: _Where, terms: int, besides: int) -> PreparedQuery:
    """Return what finds the entries that hold the most of some words, and counts how many of others they hold as well."""
    found = (
        select(_GROUPED.label("memory_id"), func.count().label("matched"))
        .where(*where.list_conditions(), _TERMS.term.in_(make_places("term", terms)))
        .group_by(_GROUPED)
        .order_by(func.count().desc(), _GROUPED)
        .limit(_MOST)
    )
    if not besides:
        return PreparedQuery(found)
    matched = found.subquery()
    as_well = (
        select(func.count())
        .where(
            *where.list_conditions(),
            _TERMS.term.in_(make_places("besides", besides)),
            _TERMS.memory_id == matched.c.memory_id,
        )
        .scalar_subquery()
    )
    return PreparedQuery(select(matched.c.memory_id, (matched.c.matched + as_well).label("matched")))


def find_matched(
    source: Reading | Transaction,
    terms: Sequence[str],
    *,
    scopes: Sequence[int],
    branches: Sequence[str],
    shareable_only: bool,
    most: int,
) -> dict[str, int]:
    """Return the approved entries that hold the most of some words, and how many of them each holds.

    Args:
        source: Of the tenant.
        terms: The words, each once.
        scopes: Repositories, and `SHARED`.
        branches: Names under which entries may stand.
        shareable_only: Whether only those are looked for that are shareable.
        most: How many entries at most.
    """
    if not scopes or not branches:
        return {}
    where = _Where(len(scopes), len(branches), shareable_only)
    place = {"of_tenant": source.tenant_id, **number("scope", scopes), **number("branch", branches)}
    counts = _count_holding(source, where, place, terms)
    chosen = choose_terms(counts)
    if not chosen:
        return {}
    # The words that are too frequent to look for count all the same for what is found.
    besides = [term for term in counts if term not in chosen]
    places = count_places(chosen), count_places(besides)
    found = source.fetch_all(
        _build_matching(where, *places),
        {**place, **number("term", chosen, places[0]), **number("besides", besides, places[1]), "most": most},
    )
    return {row.memory_id: row.matched for row in found}


def _count_holding(
    source: Reading | Transaction, where: _Where, place: Mapping[str, Any], terms: Sequence[str]
) -> dict[str, int]:
    """Return how many entries hold each word, as far as `choose_terms` has to know; no word that none holds."""
    if not terms:
        return {}
    row = source.fetch_one(
        _build_counting(where, len(terms)), {**place, **number("term", terms), "most": MAX_POSTINGS + 1}
    )
    return {term: held for term, held in zip(terms, row or (), strict=True) if held}


def let_hold(
    transaction: Transaction, entry: Row[Any], wording: Wording, *, approved_by: str, retention: RetentionPolicy,
    trust_scope: str,
) -> int:  # fmt: skip
    """Make a wording, whose row exists, the one that holds; return the entry's new revision."""
    version = wording.version
    if entry.version is not None and entry.version != version and entry.state in {"approved", "stale"}:
        update_version(transaction, entry.memory_id, entry.version, state="superseded", decided_at=transaction.now)
    update_version(transaction, entry.memory_id, version, state="approved", reason=None, decided_at=transaction.now)
    index_terms(transaction, entry, wording)
    return update_entry(
        transaction,
        entry,
        state="approved",
        version=version,
        approved_by=approved_by,
        trust_scope=trust_scope,
        shareable=wording.shareable,
        approved_at=transaction.now,
        stale_since=None,
        replaced_by=None,
        expires_at=compute_expiry(
            approved_at=transaction.now, used_at=None, approved_by=approved_by, retention=retention
        ),
    )


def take_step(entry: Row[Any], decision: Decision) -> MemoryState:
    """Return what a decision makes of an entry.

    Raises:
        Problem: `wrong-state`: it is not possible in the entry's state.
    """
    step = find_step(decision, entry.state)
    if step is None:
        states = ", ".join(list_states(decision))
        asked = decision.replace("_", " ")
        raise Problem(
            "wrong-state", f"To {asked} is possible for an entry that is {states}; this one is {entry.state}."
        )
    return step


def record_decision(
    transaction: Transaction, memory_id: str, revision: int, *, version: str | None, decision: str, actor: str,
    reason: str = "",
) -> None:  # fmt: skip
    """Keep who decided what, under the revision it led to."""
    transaction.execute(
        insert(schema.decisions).values(
            tenant_id=transaction.tenant_id,
            memory_id=memory_id,
            revision=revision,
            version=version,
            decision=decision,
            actor=actor,
            reason=reason,
            at=transaction.now,
        )
    )


EndOf = Literal["revoke", "expire"]


def end_entries(
    transaction: Transaction, entries: Sequence[Row[Any]], decision: EndOf, *, actor: str, reason: str = ""
) -> None:
    """Revoke or expire entries, however many: a few statements for each `AT_ONCE` of them.

    Args:
        transaction: Of the tenant.
        entries: In a state in which the decision is possible.
        decision: Which.
        actor: Who decides.
        reason: For the log.
    """
    rule = RULES[decision]
    for start in range(0, len(entries), AT_ONCE):
        part = entries[start : start + AT_ONCE]
        ids = [entry.memory_id for entry in part]
        _end_versions(transaction, ids, ("approved", "stale"), rule.wording or decision)
        if rule.waiting is not None:
            _end_versions(transaction, ids, ("pending",), rule.waiting)
        columns = schema.memory.c
        transaction.execute(
            update(schema.memory)
            .where(columns.tenant_id == transaction.tenant_id, columns.memory_id.in_(ids))
            .values(state=rule.wording, revision=columns.revision + 1, updated_at=transaction.now, expires_at=None)
        )
        drop_terms(transaction, ids)
        transaction.execute(
            insert(schema.decisions),
            [
                {
                    "tenant_id": transaction.tenant_id,
                    "memory_id": entry.memory_id,
                    "revision": entry.revision + 1,
                    "version": entry.version,
                    "decision": decision,
                    "actor": actor,
                    "reason": reason,
                    "at": transaction.now,
                }
                for entry in part
            ],
        )


def _end_versions(transaction: Transaction, ids: Sequence[str], states: Sequence[str], state: str) -> None:
    columns = schema.memory_versions.c
    transaction.execute(
        update(schema.memory_versions)
        .where(columns.tenant_id == transaction.tenant_id, columns.memory_id.in_(list(ids)), columns.state.in_(states))
        .values(state=state, decided_at=transaction.now)
    )


_OF_RUN: Final = (schema.runs.c.tenant_id == schema.uses.c.tenant_id) & (
    (schema.runs.c.repository_id == schema.uses.c.repository_id) & (schema.runs.c.run_id == schema.uses.c.run_id)
)
_TRACED: Final = (
    select(schema.uses, schema.runs.c.number)
    .join(schema.runs, _OF_RUN, isouter=True)
    .where(schema.uses.c.tenant_id == bindparam("of_tenant"))
)


_NEWEST_FIRST: Final = (
    schema.uses.c.at.desc(),
    schema.uses.c.memory_id,
    schema.uses.c.repository_id,
    schema.uses.c.run_id,
    schema.uses.c.kind,
    schema.uses.c.version,
)
_COUNTED: Final = select(func.count().label("amount")).where(schema.uses.c.tenant_id == bindparam("of_tenant"))


def trace_newest(source: Reading | Transaction, memory_ids: Sequence[str]) -> tuple[tuple[MemoryUse, ...], int]:
    """Return the newest `MAX_TRACED` uses of entries, newest first, and how many there are."""
    wanted = schema.uses.c.memory_id.in_(bindparam("wanted", expanding=True))
    newest = _TRACED.where(wanted).order_by(*_NEWEST_FIRST).limit(MAX_TRACED)
    ids = sorted(set(memory_ids))
    rows: list[Row[Any]] = []
    count = 0
    for start in range(0, len(ids), AT_ONCE):
        place = {"of_tenant": source.tenant_id, "wanted": ids[start : start + AT_ONCE]}
        rows += source.fetch_all(newest, place)
        count += sum(row.amount for row in source.fetch_all(_COUNTED.where(wanted), place))
    return _build_uses(rows)[:MAX_TRACED], count


class UseKey(NamedTuple):
    """Where a use stands among those of its entry."""

    at: int
    repository_id: int
    run_id: int
    kind: str
    version: str


def trace_entry(
    source: Reading | Transaction, memory_id: str, *, after: UseKey | None, limit: int
) -> tuple[tuple[MemoryUse, ...], UseKey | None]:
    """Return uses of an entry, newest first, and where the next page begins, None at the end.

    Args:
        source: Of the tenant.
        memory_id: Which entry.
        after: Where the page before ended.
        limit: How many at most.
    """
    columns = schema.uses.c
    statement = _TRACED.where(columns.memory_id == memory_id).order_by(*_NEWEST_FIRST).limit(limit + 1)
    if after is not None:
        earlier = columns.at < after.at
        beside = tuple_(columns.repository_id, columns.run_id, columns.kind, columns.version) > tuple_(*after[1:])
        statement = statement.where(or_(earlier, and_(columns.at == after.at, beside)))
    rows = source.fetch_all(statement, {"of_tenant": source.tenant_id})
    shown = rows[:limit]
    is_end = len(rows) <= limit
    return _build_uses(shown), None if is_end else UseKey(*(getattr(shown[-1], name) for name in UseKey._fields))


def trace_run(source: Reading | Transaction, run: RunKey) -> tuple[MemoryUse, ...]:
    """Return every entry that a run was offered, has read or has cited, newest first."""
    columns = schema.uses.c
    statement = _TRACED.where(columns.repository_id == run.repository_id, columns.run_id == run.run_id)
    return _build_uses(source.fetch_all(statement, {"of_tenant": source.tenant_id}))


def _build_uses(rows: Iterable[Row[Any]]) -> tuple[MemoryUse, ...]:
    ordered = sorted(
        rows, key=lambda row: (-row.at, row.memory_id, row.repository_id, row.run_id, row.kind, row.version)
    )
    return tuple(
        MemoryUse(
            id=row.memory_id,
            repository_id=row.repository_id,
            run_id=row.run_id,
            number=row.number,
            kind=row.kind,
            version=row.version,
            reference=row.reference,
            at=from_milliseconds(row.at),
        )
        for row in ordered
    )


def build_version(row: Row[Any], citations: tuple[Citation, ...]) -> MemoryVersion:
    """Return a wording as people see it."""
    return MemoryVersion(
        version=row.version,
        state=row.state,
        kind=row.kind,
        text=row.text,
        branches=tuple(row.branches),
        shareable=row.shareable,
        citations=citations,
        proposed_by=row.proposed_by,
        trust_scope=row.trust_scope,
        why=row.why,
        flags=tuple(row.flags),
        reason=row.reason,
        created_at=from_milliseconds(row.created_at),
        decided_at=from_milliseconds(row.decided_at),
    )


def build_memories(source: Reading | Transaction, entries: Sequence[Row[Any]]) -> tuple[Memory, ...]:
    """Return entries as people see them: the wording that holds or held last, and those that wait."""
    columns = schema.memory_versions.c
    ids = [entry.memory_id for entry in entries]
    current = {(entry.memory_id, entry.version) for entry in entries}
    rows = [
        row
        for row in source.fetch_all(
            select(schema.memory_versions)
            .where(
                columns.tenant_id == bindparam("of_tenant"),
                columns.memory_id.in_(bindparam("wanted", expanding=True)),
            )
            .order_by(columns.created_at, columns.version),
            {"of_tenant": source.tenant_id, "wanted": ids},
        )
        if row.state == "pending" or (row.memory_id, row.version) in current
    ]
    cited = read_citations(source, ((row.memory_id, row.version) for row in rows))
    shown: dict[str, list[MemoryVersion]] = {}
    for row in rows:
        wording = build_version(row, cited.get((row.memory_id, row.version), ()))
        shown.setdefault(row.memory_id, []).append(wording)
    return tuple(_build_memory(entry, shown.get(entry.memory_id, [])) for entry in entries)


def _build_memory(entry: Row[Any], wordings: Sequence[MemoryVersion]) -> Memory:
    return Memory(
        id=entry.memory_id,
        key=read_key(entry),
        canonical_key=entry.canonical_key,
        scope=entry.scope,
        repository_id=entry.repository_id,
        state=entry.state,
        revision=entry.revision,
        version=entry.version,
        approved_by=entry.approved_by,
        approved_at=from_milliseconds(entry.approved_at),
        expires_at=from_milliseconds(entry.expires_at),
        used_at=from_milliseconds(entry.used_at),
        stale_since=from_milliseconds(entry.stale_since),
        promoted_from=entry.promoted_from,
        replaced_by=entry.replaced_by,
        current=next((each for each in wordings if each.version == entry.version), None),
        waiting=tuple(each for each in wordings if each.state == "pending"),
    )
