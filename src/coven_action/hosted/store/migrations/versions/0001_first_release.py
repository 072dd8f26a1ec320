"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "audit",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", name=op.f("pk_audit")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deployment",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_deployment")),
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("route", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "route", "key", name=op.f("pk_idempotency")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_idempotency_tenant_id_expires_at"), "idempotency", ["tenant_id", "expires_at"], unique=False
    )
    op.create_table(
        "meters",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("installation_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("familiar", sa.String(length=40), nullable=False),
        sa.Column("task_kind", sa.String(length=20), nullable=False),
        sa.Column("measure", sa.String(length=30), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id",
            "day",
            "installation_id",
            "repository_id",
            "familiar",
            "task_kind",
            "measure",
            name=op.f("pk_meters"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_events",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", name=op.f("pk_run_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_run_events_tenant_id_repository_id_run_id_sequence"),
        "run_events",
        ["tenant_id", "repository_id", "run_id", "sequence"],
        unique=False,
    )
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("account_login", sa.String(length=100), nullable=False),
        sa.Column("installation_id", sa.BigInteger(), nullable=True),
        sa.Column("tier", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("issuer", "account_id", name=op.f("uq_tenants_issuer_account_id")),
    )
    op.create_table(
        "uses",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("memory_id", sa.String(length=20), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "memory_id", "repository_id", "run_id", "kind", "version", name=op.f("pk_uses")
        ),
    )
    op.create_index(
        op.f("ix_uses_tenant_id_repository_id_run_id"), "uses", ["tenant_id", "repository_id", "run_id"], unique=False
    )
    op.create_table(
        "heads",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("event_sequence", sa.BigInteger(), nullable=False),
        sa.Column("event_floor", sa.BigInteger(), nullable=False),
        sa.Column("audit_sequence", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.String(length=64), nullable=False),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_heads_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_heads")),
    )
    op.create_table(
        "jti_seen",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("jti_sha256", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_jti_seen_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "jti_sha256", name=op.f("pk_jti_seen")),
    )
    op.create_index(op.f("ix_jti_seen_tenant_id_expires_at"), "jti_seen", ["tenant_id", "expires_at"], unique=False)
    op.create_table(
        "memory",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("memory_id", sa.String(length=20), nullable=False),
        sa.Column("canonical_key", sa.String(length=180), nullable=False),
        sa.Column("scope", sa.String(length=20), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("approved_by", sa.String(length=200), nullable=True),
        sa.Column("trust_scope", sa.String(length=20), nullable=True),
        sa.Column("shareable", sa.Boolean(), nullable=False),
        sa.Column("promoted_from", sa.String(length=20), nullable=True),
        sa.Column("replaced_by", sa.String(length=20), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("stale_since", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_memory_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "memory_id", name=op.f("pk_memory")),
        sa.UniqueConstraint("tenant_id", "canonical_key", name=op.f("uq_memory_tenant_id_canonical_key")),
    )
    op.create_index(
        op.f("ix_memory_tenant_id_created_at_memory_id"),
        "memory",
        ["tenant_id", "created_at", "memory_id"],
        unique=False,
    )
    op.create_index(op.f("ix_memory_tenant_id_expires_at"), "memory", ["tenant_id", "expires_at"], unique=False)
    op.create_index(op.f("ix_memory_tenant_id_promoted_from"), "memory", ["tenant_id", "promoted_from"], unique=False)
    op.create_index(
        "ix_memory_newest",
        "memory",
        ["tenant_id", "repository_id", "state", "approved_at", "memory_id", "shareable"],
        unique=False,
    )
    op.create_table(
        "policies",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_policies_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "version", name=op.f("pk_policies")),
    )
    op.create_table(
        "receipts",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("receipt_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_receipts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "receipt_id", name=op.f("pk_receipts")),
    )
    op.create_table(
        "repositories",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("visibility", sa.String(length=10), nullable=False),
        sa.Column("default_branch", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("people", sa.JSON(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("tenant_shared", sa.Boolean(), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_repositories_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "repository_id", name=op.f("pk_repositories")),
    )
    op.create_table(
        "revocations",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("prefix", sa.String(length=180), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_revocations_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "prefix", name=op.f("pk_revocations")),
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_sessions_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "token_sha256", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_tenant_id_expires_at"), "sessions", ["tenant_id", "expires_at"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("memory_id", sa.String(length=20), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("decision", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "memory_id"],
            ["memory.tenant_id", "memory.memory_id"],
            name=op.f("fk_decisions_tenant_id_memory_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "memory_id", "revision", name=op.f("pk_decisions")),
    )
    op.create_table(
        "memory_terms",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), nullable=False),
        sa.Column("term", sa.String(length=64), nullable=False),
        sa.Column("branch", sa.String(length=255), nullable=False),
        sa.Column("memory_id", sa.String(length=20), nullable=False),
        sa.Column("shareable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "memory_id"],
            ["memory.tenant_id", "memory.memory_id"],
            name=op.f("fk_memory_terms_tenant_id_memory_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "scope_id", "term", "branch", "memory_id", name=op.f("pk_memory_terms")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_memory_terms_tenant_id_memory_id"), "memory_terms", ["tenant_id", "memory_id"], unique=False
    )
    op.create_table(
        "memory_versions",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("memory_id", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("branches", sa.JSON(), nullable=False),
        sa.Column("shareable", sa.Boolean(), nullable=False),
        sa.Column("proposed_by", sa.JSON(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("trust_scope", sa.String(length=20), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "memory_id"],
            ["memory.tenant_id", "memory.memory_id"],
            name=op.f("fk_memory_versions_tenant_id_memory_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "memory_id", "version", name=op.f("pk_memory_versions")),
    )
    op.create_index(
        op.f("ix_memory_versions_tenant_id_repository_id_run_id"),
        "memory_versions",
        ["tenant_id", "repository_id", "run_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_memory_versions_tenant_id_state_created_at"),
        "memory_versions",
        ["tenant_id", "state", "created_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_memory_versions_tenant_id_text_sha256"), "memory_versions", ["tenant_id", "text_sha256"], unique=False
    )
    op.create_table(
        "repository_names",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "repository_id"],
            ["repositories.tenant_id", "repositories.repository_id"],
            name=op.f("fk_repository_names_tenant_id_repository_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "repository_id", "since", name=op.f("pk_repository_names")),
    )
    op.create_table(
        "runs",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("failure_reason", sa.String(length=40), nullable=True),
        sa.Column("thread", sa.String(length=40), nullable=True),
        sa.Column("familiar", sa.String(length=40), nullable=False),
        sa.Column("task_kind", sa.String(length=20), nullable=False),
        sa.Column("trust_scope", sa.String(length=20), nullable=True),
        sa.Column("tier", sa.String(length=2), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("conclusion", sa.String(length=20), nullable=True),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("finish", sa.JSON(), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "repository_id"],
            ["repositories.tenant_id", "repositories.repository_id"],
            name=op.f("fk_runs_tenant_id_repository_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "repository_id", "run_id", name=op.f("pk_runs")),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_runs_tenant_id_number")),
    )
    op.create_index(
        op.f("ix_runs_tenant_id_repository_id_thread_lease_until"),
        "runs",
        ["tenant_id", "repository_id", "thread", "lease_until"],
        unique=False,
    )
    op.create_index(
        op.f("ix_runs_tenant_id_state_created_at"), "runs", ["tenant_id", "state", "created_at"], unique=False
    )
    op.create_table(
        "citations",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("memory_id", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=400), nullable=False),
        sa.Column("start_line", sa.Integer(), nullable=False),
        sa.Column("end_line", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "memory_id", "version"],
            ["memory_versions.tenant_id", "memory_versions.memory_id", "memory_versions.version"],
            name=op.f("fk_citations_tenant_id_memory_id_version"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "memory_id", "version", "ordinal", name=op.f("pk_citations")),
    )
    op.create_table(
        "run_attempts",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("failure_reason", sa.String(length=40), nullable=True),
        sa.Column("conclusion", sa.String(length=20), nullable=True),
        sa.Column("usage", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "repository_id", "run_id"],
            ["runs.tenant_id", "runs.repository_id", "runs.run_id"],
            name=op.f("fk_run_attempts_tenant_id_repository_id_run_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "repository_id", "run_id", "attempt", name=op.f("pk_run_attempts")),
    )
