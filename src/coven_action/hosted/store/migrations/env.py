"""What Alembic runs around the steps: over the connection that `upgrade` has put into a transaction, and nothing else."""

from alembic import context

from coven_action.hosted.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot change a column in place; the steps write `batch_alter_table`, which copies the table there.
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
