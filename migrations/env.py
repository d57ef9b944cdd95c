"""Runs migrations on the database of the present Flask application."""

from alembic import context
from flask import current_app

from assembler_runner.core.database import Base, db


def run_migrations() -> None:
    """Runs them in one transaction, where the database has transactions for such changes."""
    arguments = current_app.extensions["migrate"].configure_args
    with db.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, **arguments)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    context.configure(url=str(db.engine.url), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run_migrations()
