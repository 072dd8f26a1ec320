"""The endpoint's tables, as SQLAlchemy Core describes them. No statements here.

Every table of a tenant's data leads its primary key and its unique keys with `tenant_id`, so that no value of one tenant
can collide with another's. Moments are whole milliseconds since 1970 in UTC. GitHub's ids are numbers, as GitHub gives them.
What a person may see is metadata, links and approved texts: no code, no prompt, no transcript has a column.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_BYTES: Final = "C"
"""PostgreSQL's name for the order that SQLite has: by bytes, whatever language the server was installed in."""


def _string(length: int) -> String:
    return String(length).with_variant(String(length, collation=_BYTES), "postgresql")


def _text() -> Text:
    return Text().with_variant(Text(collation=_BYTES), "postgresql")


def _json() -> JSON:
    # What is not there is NULL, and not a document that says null.
    return JSON(none_as_null=True)


def _tenant() -> "Column[int]":
    return Column("tenant_id", Integer, nullable=False)


def _moment(name: str, *, nullable: bool = False) -> "Column[int]":
    return Column(name, BigInteger, nullable=nullable)


def _of_tenant() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"])


def _of_entry() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", "memory_id"], ["memory.tenant_id", "memory.memory_id"])


tenants: Final = Table(
    "tenants",
    metadata,
    Column("tenant_id", Integer, primary_key=True, autoincrement=False),
    Column("issuer", _string(255), nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("account_login", _string(100), nullable=False),
    Column("installation_id", BigInteger),
    Column("tier", _string(20), nullable=False),
    Column("status", _string(20), nullable=False),
    _moment("created_at"),
    UniqueConstraint("issuer", "account_id"),
)
"""An account of one issuer. `tier` is a row of the caps; `status` is active or suspended."""

heads: Final = Table(
    "heads",
    metadata,
    _tenant(),
    Column("event_sequence", BigInteger, nullable=False),
    Column("event_floor", BigInteger, nullable=False),
    Column("audit_sequence", BigInteger, nullable=False),
    Column("audit_hash", _string(64), nullable=False),
    Column("run_number", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id"),
    _of_tenant(),
)
"""The newest numbers of a tenant. Whoever appends holds this row, so that the sequences have no gap."""

repositories: Final = Table(
    "repositories",
    metadata,
    _tenant(),
    Column("repository_id", BigInteger, nullable=False),
    Column("owner", _string(100), nullable=False),
    Column("name", _string(100), nullable=False),
    Column("visibility", _string(10), nullable=False),
    Column("default_branch", _string(255), nullable=False),
    Column("status", _string(20), nullable=False),
    Column("people", _json(), nullable=False),
    Column("rules", _json(), nullable=False),
    Column("tenant_shared", Boolean, nullable=False),
    _moment("enrolled_at"),
    PrimaryKeyConstraint("tenant_id", "repository_id"),
    _of_tenant(),
)
"""An enrolled repository. `people` are the actor ids whose own runs count as a person's; `rules` limit which workflows,
events and environments may report; `status` is enrolled, suspended or transferred."""

repository_names: Final = Table(
    "repository_names",
    metadata,
    _tenant(),
    Column("repository_id", BigInteger, nullable=False),
    _moment("since"),
    Column("owner", _string(100), nullable=False),
    Column("name", _string(100), nullable=False),
    PrimaryKeyConstraint("tenant_id", "repository_id", "since"),
    ForeignKeyConstraint(["tenant_id", "repository_id"], ["repositories.tenant_id", "repositories.repository_id"]),
)

policies: Final = Table(
    "policies",
    metadata,
    _tenant(),
    Column("kind", _string(20), nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", _json(), nullable=False),
    Column("actor", _string(200), nullable=False),
    _moment("at"),
    PrimaryKeyConstraint("tenant_id", "kind", "version"),
    _of_tenant(),
)
"""What an administrator has set, in every version: `kind` is memory, retention, caps or issuers; the newest one holds."""

sessions: Final = Table(
    "sessions",
    metadata,
    _tenant(),
    Column("token_sha256", _string(64), nullable=False),
    Column("document", _json(), nullable=False),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("closed_at", nullable=True),
    PrimaryKeyConstraint("tenant_id", "token_sha256"),
    Index(None, "tenant_id", "expires_at"),
    _of_tenant(),
)
"""A run's session: who it is and what it may do is the document. The token itself is nowhere."""

jti_seen: Final = Table(
    "jti_seen",
    metadata,
    _tenant(),
    Column("jti_sha256", _string(64), nullable=False),
    _moment("expires_at"),
    PrimaryKeyConstraint("tenant_id", "jti_sha256"),
    Index(None, "tenant_id", "expires_at"),
    _of_tenant(),
)

runs: Final = Table(
    "runs",
    metadata,
    _tenant(),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", _string(20), nullable=False),
    Column("failure_reason", _string(40)),
    Column("thread", _string(40)),
    Column("familiar", _string(40), nullable=False),
    Column("task_kind", _string(20), nullable=False),
    Column("trust_scope", _string(20)),
    Column("tier", _string(2), nullable=False),
    Column("installation_id", BigInteger, nullable=False),
    Column("conclusion", _string(20)),
    Column("report", _json(), nullable=False),
    Column("finish", _json()),
    Column("event_count", Integer, nullable=False),
    _moment("created_at"),
    _moment("queued_at"),
    _moment("asked_at", nullable=True),
    _moment("counted_at", nullable=True),
    _moment("started_at", nullable=True),
    _moment("finished_at", nullable=True),
    _moment("updated_at"),
    _moment("lease_until", nullable=True),
    PrimaryKeyConstraint("tenant_id", "repository_id", "run_id"),
    UniqueConstraint("tenant_id", "number"),
    Index(None, "tenant_id", "repository_id", "thread", "lease_until"),
    Index(None, "tenant_id", "state", "queued_at"),
    Index(None, "tenant_id", "counted_at"),
    ForeignKeyConstraint(["tenant_id", "repository_id"], ["repositories.tenant_id", "repositories.repository_id"]),
)
"""A workflow run that works on a thread, as its newest attempt has it; `number` is its number for people. `tier` is what its
claims were worth, `installation_id` whose use it is (0: nobody said). `queued_at`: it waits since then; `asked_at`: it has asked
last whether it may work, which a run that was reported when it was over never did; `counted_at`: it was admitted last as one
more task, of that day. `lease_until`: it holds its thread until then, unless it finishes before."""

run_attempts: Final = Table(
    "run_attempts",
    metadata,
    _tenant(),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", _string(20), nullable=False),
    Column("failure_reason", _string(40)),
    Column("tier", _string(2), nullable=False),
    Column("scopes", _json(), nullable=False),
    Column("report", _json(), nullable=False),
    Column("conclusion", _string(20)),
    Column("usage", _json()),
    _moment("started_at"),
    _moment("finished_at", nullable=True),
    PrimaryKeyConstraint("tenant_id", "repository_id", "run_id", "attempt"),
    ForeignKeyConstraint(
        ["tenant_id", "repository_id", "run_id"], ["runs.tenant_id", "runs.repository_id", "runs.run_id"]
    ),
)
"""An attempt of a run, with what it reported of itself; `tier` and `scopes` are what its claims were worth. `usage` is there
as soon as it has said how it ended, and not before: an end without it is a guess of ours."""

run_events: Final = Table(
    "run_events",
    metadata,
    _tenant(),
    Column("sequence", BigInteger, nullable=False),
    Column("repository_id", BigInteger),
    Column("run_id", BigInteger),
    Column("attempt", Integer),
    Column("type", _string(40), nullable=False),
    _moment("at"),
    _moment("recorded_at"),
    Column("data", _text(), nullable=False),
    # PostgreSQL wants the moment in the key, by which it divides the table.
    PrimaryKeyConstraint("tenant_id", "sequence", "recorded_at"),
    Index(None, "tenant_id", "repository_id", "run_id", "sequence"),
    # Without a rowid the rows of a tenant lie together in the order in which they are read.
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (recorded_at)",
)
"""What happened, in one gap-free sequence a tenant. An event of no run (a person's decision) has no run's ids. On
PostgreSQL each month has a part of its own (`partitions`)."""

memory: Final = Table(
    "memory",
    metadata,
    _tenant(),
    Column("memory_id", _string(20), nullable=False),
    Column("canonical_key", _string(180), nullable=False),
    Column("scope", _string(20), nullable=False),
    Column("repository_id", BigInteger),
    Column("state", _string(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", _string(64)),
    Column("approved_by", _string(200)),
    Column("trust_scope", _string(20)),
    Column("shareable", Boolean, nullable=False),
    Column("promoted_from", _string(20)),
    Column("replaced_by", _string(20)),
    _moment("approved_at", nullable=True),
    _moment("used_at", nullable=True),
    _moment("stale_since", nullable=True),
    _moment("expires_at", nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    PrimaryKeyConstraint("tenant_id", "memory_id"),
    UniqueConstraint("tenant_id", "canonical_key"),
    Index("ix_memory_newest", "tenant_id", "repository_id", "state", "approved_at", "memory_id", "shareable"),
    Index(None, "tenant_id", "expires_at"),
    Index(None, "tenant_id", "created_at", "memory_id"),
    Index(None, "tenant_id", "promoted_from"),
    _of_tenant(),
)
"""An entry: which of its versions holds, and since when. `revision` grows with every change and is the ETag. `shareable`
is the version's. `promoted_from` is the repository's entry that a shared one was made of, `replaced_by` the entry that
stands for a superseded one."""

memory_versions: Final = Table(
    "memory_versions",
    metadata,
    _tenant(),
    Column("memory_id", _string(20), nullable=False),
    Column("version", _string(64), nullable=False),
    Column("state", _string(20), nullable=False),
    Column("kind", _string(20), nullable=False),
    Column("text", _text(), nullable=False),
    Column("text_sha256", _string(64), nullable=False),
    Column("branches", _json(), nullable=False),
    Column("shareable", Boolean, nullable=False),
    Column("proposed_by", _json(), nullable=False),
    Column("repository_id", BigInteger),
    Column("run_id", BigInteger),
    Column("trust_scope", _string(20), nullable=False),
    Column("why", _text(), nullable=False),
    Column("flags", _json(), nullable=False),
    Column("reason", _string(40)),
    _moment("created_at"),
    _moment("decided_at", nullable=True),
    PrimaryKeyConstraint("tenant_id", "memory_id", "version"),
    Index(None, "tenant_id", "state", "created_at"),
    Index(None, "tenant_id", "text_sha256"),
    Index(None, "tenant_id", "repository_id", "run_id"),
    _of_entry(),
)
"""A wording of an entry and what became of it. `proposed_by` says who by; `repository_id` and `run_id` repeat it where it
was a run, so that the proposals of a run can be counted. `flags` are what the screens and comparisons found; `reason` is
the public word of a rejection."""

citations: Final = Table(
    "citations",
    metadata,
    _tenant(),
    Column("memory_id", _string(20), nullable=False),
    Column("version", _string(64), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("path", _string(400), nullable=False),
    Column("start_line", Integer, nullable=False),
    Column("end_line", Integer, nullable=False),
    Column("sha256", _string(64), nullable=False),
    PrimaryKeyConstraint("tenant_id", "memory_id", "version", "ordinal"),
    ForeignKeyConstraint(
        ["tenant_id", "memory_id", "version"],
        ["memory_versions.tenant_id", "memory_versions.memory_id", "memory_versions.version"],
    ),
)

memory_terms: Final = Table(
    "memory_terms",
    metadata,
    _tenant(),
    Column("scope_id", BigInteger, nullable=False),
    Column("term", _string(64), nullable=False),
    Column("branch", _string(255), nullable=False),
    Column("memory_id", _string(20), nullable=False),
    Column("shareable", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant_id", "scope_id", "term", "branch", "memory_id"),
    Index(None, "tenant_id", "memory_id"),
    _of_entry(),
    sqlite_with_rowid=False,
)
"""The words of approved texts, by repository (`scope_id`, 0 for what the whole account shares) and by the base branch
that may see them ("" for the default one). The key begins with the tenant: how much other tenants remember changes
neither the answer nor its cost."""

decisions: Final = Table(
    "decisions",
    metadata,
    _tenant(),
    Column("memory_id", _string(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("version", _string(64)),
    Column("decision", _string(20), nullable=False),
    Column("actor", _string(200), nullable=False),
    Column("reason", _text(), nullable=False),
    _moment("at"),
    PrimaryKeyConstraint("tenant_id", "memory_id", "revision"),
    _of_entry(),
)

uses: Final = Table(
    "uses",
    metadata,
    _tenant(),
    Column("memory_id", _string(20), nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, nullable=False),
    Column("kind", _string(10), nullable=False),
    Column("version", _string(64), nullable=False),
    Column("reference", _text(), nullable=False),
    _moment("at"),
    PrimaryKeyConstraint("tenant_id", "memory_id", "repository_id", "run_id", "kind", "version"),
    Index(None, "tenant_id", "repository_id", "run_id"),
)
"""Which run was offered, has read or has cited an entry, and where that shows. It outlives the entry's text."""

revocations: Final = Table(
    "revocations",
    metadata,
    _tenant(),
    Column("prefix", _string(180), nullable=False),
    Column("actor", _string(200), nullable=False),
    Column("reason", _text(), nullable=False),
    _moment("at"),
    PrimaryKeyConstraint("tenant_id", "prefix"),
    _of_tenant(),
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    _tenant(),
    Column("route", _string(80), nullable=False),
    Column("key", _string(100), nullable=False),
    Column("fingerprint", _string(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _moment("expires_at"),
    PrimaryKeyConstraint("tenant_id", "route", "key"),
    Index(None, "tenant_id", "expires_at"),
    sqlite_with_rowid=False,
)

meters: Final = Table(
    "meters",
    metadata,
    _tenant(),
    Column("day", _string(10), nullable=False),
    Column("installation_id", BigInteger, nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("familiar", _string(40), nullable=False),
    Column("task_kind", _string(20), nullable=False),
    Column("measure", _string(30), nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "installation_id", "repository_id", "familiar", "task_kind", "measure"),
    sqlite_with_rowid=False,
)
"""How much was used in a day (UTC). 0 and "" stand for what a use does not have."""

audit: Final = Table(
    "audit",
    metadata,
    _tenant(),
    Column("sequence", BigInteger, nullable=False),
    _moment("at"),
    Column("actor", _string(200), nullable=False),
    Column("action", _string(40), nullable=False),
    Column("subject", _string(300), nullable=False),
    Column("detail", _text(), nullable=False),
    Column("previous", _string(64), nullable=False),
    Column("hash", _string(64), nullable=False),
    PrimaryKeyConstraint("tenant_id", "sequence"),
    sqlite_with_rowid=False,
)
"""Who did what, each row hashed with the one before it. `detail` is canonical JSON and never holds a text of memory."""

receipts: Final = Table(
    "receipts",
    metadata,
    _tenant(),
    Column("receipt_id", _string(40), nullable=False),
    Column("kind", _string(20), nullable=False),
    Column("document", _json(), nullable=False),
    _moment("at"),
    PrimaryKeyConstraint("tenant_id", "receipt_id"),
    _of_tenant(),
)
"""Exports and erasures: what was done, how much of it, and what gaps are known."""

deployment: Final = Table(
    "deployment",
    metadata,
    Column("name", _string(40), primary_key=True),
    Column("value", _text(), nullable=False),
)
"""What belongs to the deployment and to no tenant, such as the hash of the local administrator's token."""
