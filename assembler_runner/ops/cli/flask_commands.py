"""Commands of `flask` for the database and the requirements of plugins.

Registered by the entry point group `flask.commands`.
"""

from __future__ import annotations

import secrets
import subprocess
import sys

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from assembler_runner.accounts.auth import ADMIN, ensure_admin
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.places import bundled
from assembler_runner.services import current_services


@click.command("create-db")
@with_appcontext
def create_db() -> None:
    """Create all tables and the user admin; `flask db upgrade` works afterwards."""
    # Imported here: only this command needs it, and the service imports this module.
    from flask_migrate import stamp

    db.create_all()
    stamp()
    click.echo("Created the database.")
    make_admin()


@click.command("drop-db")
@with_appcontext
def drop_db() -> None:
    """Drop all tables with everything in them."""
    db.drop_all()
    with db.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))
    click.echo("Dropped the database.")


@click.command("create-admin")
@with_appcontext
def create_admin() -> None:
    """Create the user admin if there is no user yet; the tables must exist."""
    make_admin()


@click.command("install")
@click.option("--dry-run", is_flag=True, help="Only print the requirements.")
@click.option("--skip-runner-requirements", is_flag=True, help="Skip the requirements of the service itself.")
@with_appcontext
def install(dry_run: bool, skip_runner_requirements: bool) -> None:
    """Install the requirements of the plugins; conflicts are reported before anything is installed."""
    from assembler_runner.assembly import requirements

    own = [line for line in bundled("requirements.in").read_text().splitlines() if line.strip()]
    try:
        wanted = requirements.collect(current_services().registry.all())
        requirements.check(wanted, own)
    except AssemblerError as problem:
        raise click.ClickException(f"{problem.message}\n{problem.hint or ''}".strip()) from None
    lines = [line for lines in wanted.values() for line in lines]
    chosen = sorted(dict.fromkeys(lines if skip_runner_requirements else [*own, *lines]))
    if dry_run:
        click.echo("\n".join(chosen) if chosen else "# The plugins have no requirements.")
        return
    if not chosen:
        click.echo("Nothing to install: the plugins have no requirements.")
        return
    done = subprocess.run([sys.executable, "-m", "pip", "install", *chosen], check=False)  # noqa: S603 - checked lines
    if done.returncode:
        raise click.ClickException("pip could not install the requirements; see its message above.")


def make_admin(page: str | None = None) -> None:
    """Creates the user admin if there is no user yet, and prints a generated password.

    Args:
        page: address of the web pages; if given, it is printed first, with how to sign in.
    """
    given = current_services().settings.ADMIN_PASSWORD
    password = given or secrets.token_urlsafe(12)
    made = ensure_admin(password)
    if page:
        new = "with the password from ADMIN_PASSWORD" if given else "with the password below"
        click.echo(f"Web pages: {page} (sign in {f'as {ADMIN} {new}' if made else 'with your account'})")
    if made and not given:
        click.echo(f"User {ADMIN} has the password {password} (shown only now).")
