"""Write step 0001 of the endpoint's database from the tables in `schema.py`. Only until the first release has used it.

From then on a step never changes: what is new becomes 0002, written by hand. A test says when the steps and the tables
differ. Run it as `.venv/bin/python -P scripts/write_first_migration.py`, and read what it wrote.
"""

import subprocess
import sys
from pathlib import Path

import pysqlite3
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from coven_action.hosted.store.migrations import VERSIONS
from coven_action.hosted.store.schema import metadata
from coven_action.hosted.store.tenancy import render_protection

TARGET = VERSIONS / "0001_first_release.py"
HEADER = '''"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
'''
PROTECTION = """
    if op.get_bind().dialect.name == "postgresql":
        for statement in PROTECTION:
            op.execute(statement)


PROTECTION = (
    "CREATE TABLE run_events_default PARTITION OF run_events DEFAULT",
    "ALTER TABLE run_events_default ENABLE ROW LEVEL SECURITY",
{statements}
)
"""


def render_step() -> str:
    """Return the step that makes every table in an empty database."""
    engine = create_engine("sqlite://", module=pysqlite3)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        operations = produce_migrations(context, metadata).upgrade_ops
    engine.dispose()
    if operations is None:
        raise ValueError("there is nothing to make")
    body = render_python_code(operations)
    tables = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith("#"))
    statements = "\n".join(f"    {statement!r}," for statement in render_protection(metadata))
    return HEADER + tables + PROTECTION.format(statements=statements)


def main() -> int:
    """Write the step in the project's form."""
    ruff = Path(sys.executable).parent / "ruff"
    TARGET.write_text(render_step(), encoding="utf-8")
    return subprocess.run((ruff, "format", "--quiet", TARGET), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
