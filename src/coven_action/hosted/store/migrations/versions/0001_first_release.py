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
        sa.Column(
            "actor",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "action",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "subject",
            sa.String(length=300).with_variant(sa.String(length=300, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("detail", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column(
            "previous",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "hash", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", name=op.f("pk_audit")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deployment",
        sa.Column(
            "name", sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("value", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_deployment")),
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "route",
            sa.String(length=80).with_variant(sa.String(length=80, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "key",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "fingerprint",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
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
        sa.Column(
            "day", sa.String(length=10).with_variant(sa.String(length=10, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("installation_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "familiar",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "task_kind",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "measure",
            sa.String(length=30).with_variant(sa.String(length=30, collation="C"), "postgresql"),
            nullable=False,
        ),
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
        sa.Column(
            "type", sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", "recorded_at", name=op.f("pk_run_events")),
        postgresql_partition_by="RANGE (recorded_at)",
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
        sa.Column("tenant_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "issuer",
            sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "account_login",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("installation_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "tier", sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "status",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("issuer", "account_id", name=op.f("uq_tenants_issuer_account_id")),
    )
    op.create_table(
        "uses",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "memory_id",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind", sa.String(length=10).with_variant(sa.String(length=10, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "version",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("reference", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
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
        sa.Column(
            "audit_hash",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_heads_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_heads")),
    )
    op.create_table(
        "jti_seen",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "jti_sha256",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_jti_seen_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "jti_sha256", name=op.f("pk_jti_seen")),
    )
    op.create_index(op.f("ix_jti_seen_tenant_id_expires_at"), "jti_seen", ["tenant_id", "expires_at"], unique=False)
    op.create_table(
        "memory",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "memory_id",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "canonical_key",
            sa.String(length=180).with_variant(sa.String(length=180, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "scope",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "state",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "version",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "approved_by",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "trust_scope",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("shareable", sa.Boolean(), nullable=False),
        sa.Column(
            "promoted_from",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "replaced_by",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=True,
        ),
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
        "ix_memory_newest",
        "memory",
        ["tenant_id", "repository_id", "state", "approved_at", "memory_id", "shareable"],
        unique=False,
    )
    op.create_index(
        op.f("ix_memory_tenant_id_created_at_memory_id"),
        "memory",
        ["tenant_id", "created_at", "memory_id"],
        unique=False,
    )
    op.create_index(op.f("ix_memory_tenant_id_expires_at"), "memory", ["tenant_id", "expires_at"], unique=False)
    op.create_index(op.f("ix_memory_tenant_id_promoted_from"), "memory", ["tenant_id", "promoted_from"], unique=False)
    op.create_table(
        "policies",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "kind", sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column(
            "actor",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_policies_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "version", name=op.f("pk_policies")),
    )
    op.create_table(
        "receipts",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "receipt_id",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind", sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_receipts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "receipt_id", name=op.f("pk_receipts")),
    )
    op.create_table(
        "repositories",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "owner",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "visibility",
            sa.String(length=10).with_variant(sa.String(length=10, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "default_branch",
            sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("people", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("rules", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("tenant_shared", sa.Boolean(), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_repositories_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "repository_id", name=op.f("pk_repositories")),
    )
    op.create_table(
        "revocations",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "prefix",
            sa.String(length=180).with_variant(sa.String(length=180, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "actor",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_revocations_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "prefix", name=op.f("pk_revocations")),
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "token_sha256",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
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
        sa.Column(
            "memory_id",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "version",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "decision",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "actor",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
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
        sa.Column(
            "term", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "branch",
            sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "memory_id",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
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
        sa.Column(
            "memory_id",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "version",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "kind", sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("text", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column(
            "text_sha256",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("branches", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("shareable", sa.Boolean(), nullable=False),
        sa.Column("proposed_by", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "trust_scope",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("why", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("flags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column(
            "reason",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=True,
        ),
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
        sa.Column(
            "owner",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
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
        sa.Column(
            "state",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "failure_reason",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "thread",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "familiar",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "task_kind",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "trust_scope",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "tier", sa.String(length=2).with_variant(sa.String(length=2, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("installation_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "conclusion",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("finish", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("counted_at", sa.BigInteger(), nullable=True),
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
    op.create_index(op.f("ix_runs_tenant_id_counted_at"), "runs", ["tenant_id", "counted_at"], unique=False)
    op.create_index(
        op.f("ix_runs_tenant_id_repository_id_thread_lease_until"),
        "runs",
        ["tenant_id", "repository_id", "thread", "lease_until"],
        unique=False,
    )
    op.create_index(
        op.f("ix_runs_tenant_id_state_queued_at"), "runs", ["tenant_id", "state", "queued_at"], unique=False
    )
    op.create_table(
        "citations",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column(
            "memory_id",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "version",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column(
            "path",
            sa.String(length=400).with_variant(sa.String(length=400, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("start_line", sa.Integer(), nullable=False),
        sa.Column("end_line", sa.Integer(), nullable=False),
        sa.Column(
            "sha256",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
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
        sa.Column(
            "state",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "failure_reason",
            sa.String(length=40).with_variant(sa.String(length=40, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column(
            "tier", sa.String(length=2).with_variant(sa.String(length=2, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=False),
        sa.Column(
            "conclusion",
            sa.String(length=20).with_variant(sa.String(length=20, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("usage", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "repository_id", "run_id"],
            ["runs.tenant_id", "runs.repository_id", "runs.run_id"],
            name=op.f("fk_run_attempts_tenant_id_repository_id_run_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "repository_id", "run_id", "attempt", name=op.f("pk_run_attempts")),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in PROTECTION:
            op.execute(statement)


PROTECTION = (
    "CREATE TABLE run_events_default PARTITION OF run_events DEFAULT",
    "ALTER TABLE run_events_default ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE audit ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE audit FORCE ROW LEVEL SECURITY",
    "ALTER TABLE citations ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE citations FORCE ROW LEVEL SECURITY",
    "ALTER TABLE decisions ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE decisions FORCE ROW LEVEL SECURITY",
    "ALTER TABLE deployment ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE deployment FORCE ROW LEVEL SECURITY",
    "ALTER TABLE heads ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE heads FORCE ROW LEVEL SECURITY",
    "ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE idempotency FORCE ROW LEVEL SECURITY",
    "ALTER TABLE jti_seen ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE jti_seen FORCE ROW LEVEL SECURITY",
    "ALTER TABLE memory ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE memory FORCE ROW LEVEL SECURITY",
    "ALTER TABLE memory_terms ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE memory_terms FORCE ROW LEVEL SECURITY",
    "ALTER TABLE memory_versions ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE memory_versions FORCE ROW LEVEL SECURITY",
    "ALTER TABLE meters ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE meters FORCE ROW LEVEL SECURITY",
    "ALTER TABLE policies ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE policies FORCE ROW LEVEL SECURITY",
    "ALTER TABLE receipts ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE receipts FORCE ROW LEVEL SECURITY",
    "ALTER TABLE repositories ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE repositories FORCE ROW LEVEL SECURITY",
    "ALTER TABLE repository_names ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE repository_names FORCE ROW LEVEL SECURITY",
    "ALTER TABLE revocations ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE revocations FORCE ROW LEVEL SECURITY",
    "ALTER TABLE run_attempts ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE run_attempts FORCE ROW LEVEL SECURITY",
    "ALTER TABLE run_events ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE run_events FORCE ROW LEVEL SECURITY",
    "ALTER TABLE runs ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE runs FORCE ROW LEVEL SECURITY",
    "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE sessions FORCE ROW LEVEL SECURITY",
    "ALTER TABLE tenants ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE tenants FORCE ROW LEVEL SECURITY",
    "ALTER TABLE uses ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE uses FORCE ROW LEVEL SECURITY",
    "CREATE POLICY insert_together ON audit FOR INSERT WITH CHECK (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON audit USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON citations USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON decisions USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON deployment USING (NULLIF(current_setting('coven.tenant', true), '')::integer = 0)",
    "CREATE POLICY tiers ON deployment FOR SELECT USING (name = 'tiers' AND current_setting('coven.tenant', true) <> '')",
    "CREATE POLICY enrolled ON heads FOR INSERT WITH CHECK (NULLIF(current_setting('coven.tenant', true), '')::integer = 0)",
    "CREATE POLICY own ON heads USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY select_together ON heads FOR SELECT USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY update_together ON heads FOR UPDATE USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY insert_together ON idempotency FOR INSERT WITH CHECK (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON idempotency USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY select_together ON idempotency FOR SELECT USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY update_together ON idempotency FOR UPDATE USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON jti_seen USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON memory USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON memory_terms USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON memory_versions USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY insert_together ON meters FOR INSERT WITH CHECK (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON meters USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY select_together ON meters FOR SELECT USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY update_together ON meters FOR UPDATE USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON policies USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON receipts USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY listed ON repositories FOR SELECT USING (NULLIF(current_setting('coven.tenant', true), '')::integer = 0)",
    "CREATE POLICY own ON repositories USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON repository_names USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON revocations USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON run_attempts USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY insert_together ON run_events FOR INSERT WITH CHECK (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON run_events USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON runs USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY select_together ON runs FOR SELECT USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY update_together ON runs FOR UPDATE USING (tenant_id = ANY (NULLIF(current_setting('coven.tenants', true), '')::integer[]))",
    "CREATE POLICY own ON sessions USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY enrolled ON tenants FOR INSERT WITH CHECK (NULLIF(current_setting('coven.tenant', true), '')::integer = 0)",
    "CREATE POLICY labelled ON tenants FOR UPDATE USING (NULLIF(current_setting('coven.tenant', true), '')::integer = 0)",
    "CREATE POLICY listed ON tenants FOR SELECT USING (NULLIF(current_setting('coven.tenant', true), '')::integer = 0)",
    "CREATE POLICY own ON tenants USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
    "CREATE POLICY own ON uses USING (tenant_id = NULLIF(current_setting('coven.tenant', true), '')::integer)",
)
