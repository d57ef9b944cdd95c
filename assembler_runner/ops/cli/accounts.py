"""`assembler user|robot|realm|role|secrets`: management of accounts on the server itself, without a token.

For the initial set-up, and to recover if all administrators are locked out. The audit log records the actor `operator`.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click
import sqlalchemy as sa
from flask_migrate import upgrade

from assembler_runner.accounts.directory import Realms, Robots, Roles, Users
from assembler_runner.accounts.grants import grants_of
from assembler_runner.accounts.models import Permission, Realm, Robot, RobotRole, Role, User, UserRole
from assembler_runner.accounts.permissions import MASTER_REALM, PERMISSIONS, operator, permissions_of
from assembler_runner.accounts.resources import Kind
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.accounts import RealmInput, RobotInput, RoleInput, UserInput
from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.errors import InvalidRequest
from assembler_runner.ops import key_rotation
from assembler_runner.ops.cli.flask_commands import make_admin
from assembler_runner.ops.serve import settings_of
from assembler_runner.services import current_services

_REALM = click.option("--realm", default=MASTER_REALM, show_default=True, help="Name or id of the realm.")
_ROLES = click.option(
    "--role", "roles", multiple=True, help="Role to grant instead of the default one; can be repeated."
)
_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@contextmanager
def _service(instance: Path) -> Iterator[None]:
    """Opens the service's database: that of the environment, otherwise that of the instance folder."""
    instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    with create_app(settings_of(instance), instance).app_context():
        upgrade()
        make_admin()
        yield


def _command(group: click.Group, name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Adds a command that uses the database and reports every problem of its input."""

    def add(work: Callable[..., None]) -> click.Command:
        @wraps(work)
        def run(instance: Path, **arguments: Any) -> None:
            with _service(instance):
                try:
                    work(**arguments)
                except InvalidRequest as problem:
                    raise click.ClickException(
                        "\n".join(f"{issue.path}: {issue.message}" for issue in problem.issues)
                    ) from None

        folder = click.Path(file_okay=False, path_type=Path)
        option = click.option(
            "--instance", default="instance", show_default=True, type=folder, help="Instance folder, as in serve."
        )
        return group.command(name)(option(run))

    return add


@click.group()
def user() -> None:
    """Users: people."""


@click.group()
def robot() -> None:
    """Robots (clients): machines."""


@click.group()
def realm() -> None:
    """Realms: tenants."""


@click.group()
def role() -> None:
    """Roles: named sets of permissions."""


@click.group("secrets")
def secrets_group() -> None:
    """Stored, encrypted secrets."""


GROUPS = (user, robot, realm, role, secrets_group)


@_command(user, "create")
@click.argument("name")
@_REALM
@_ROLES
@_STDIN
@click.option("--email", help="E-mail address.")
def create_user(name: str, realm: str, roles: tuple[str, ...], password_stdin: bool, email: str | None) -> None:
    """Create a user; without --password-stdin, with a random password, shown once."""
    given, password = _password(password_stdin)
    values = {"name": name, "password": password, "realm_id": _realm(realm).id, "email": email}
    row = Users().create(operator(), load(UserInput(), values))
    _grant_only(row, roles)
    click.echo(f"Created user {row.name}." + ("" if given else f" Password, shown only now: {password}"))


@_command(user, "set-password")
@click.argument("name")
@_REALM
@_STDIN
def set_password(name: str, realm: str, password_stdin: bool) -> None:
    """Set a new password for a user; revokes all its tokens."""
    given, password = _password(password_stdin)
    row = _find(User, name, realm)
    Users().update(operator(), row.id, load(UserInput(partial=True), {"password": password}))
    click.echo(f"Changed the password of {name}." + ("" if given else f" Shown only now: {password}"))


@_command(robot, "create")
@click.argument("name")
@_REALM
@_ROLES
def create_robot(name: str, realm: str, roles: tuple[str, ...]) -> None:
    """Create a robot with a random secret, shown once."""
    row = Robots().create(operator(), load(RobotInput(), {"name": name, "realm_id": _realm(realm).id}))
    secret = row.secret
    _grant_only(row, roles)
    click.echo(f"Created robot {row.name}. Id: {row.id} Secret, shown only now: {secret}")


@_command(robot, "set-secret")
@click.argument("name")
@_REALM
def set_secret(name: str, realm: str) -> None:
    """Set a new random secret for a robot, shown once; revokes all its tokens."""
    row = Robots().update(operator(), _find(Robot, name, realm).id, {"secret": None})
    click.echo(f"Id: {row.id} Secret, shown only now: {row.secret}")


def _add_common(group: click.Group, kind: Kind, model: type[User | Robot]) -> None:
    """Adds the commands common to users and robots."""
    what = kind.name

    @_command(group, "list")
    @click.option("--realm", help="Only those of this realm.")
    def list_all(realm: str | None) -> None:
        query: sa.Select[Any] = sa.select(model).join(Realm).order_by(Realm.name, model.name)
        for row in db.session.scalars(query.where(model.realm_id == _realm(realm).id) if realm else query):
            state = "active" if row.active else "disabled"
            click.echo("\t".join((row.id, row.realm.name, row.name, state, ",".join(_role_names(row)))))

    list_all.help = f"List {what}s: id, realm, name, state, roles."
    for word, active in (("enable", True), ("disable", False)):
        _add_switch(group, kind, model, word, active)

    @_command(group, "delete")
    @click.argument("name")
    @_REALM
    def delete(name: str, realm: str) -> None:
        kind.delete(operator(), _find(model, name, realm).id)
        click.echo(f"Deleted {what} {name}.")

    delete.help = f"Delete a {what}."

    @_command(group, "grant")
    @click.argument("name")
    @click.argument("role")
    @_REALM
    def grant(name: str, role: str, realm: str) -> None:
        _grant(_find(model, name, realm), (role,))
        click.echo(f"Granted the role {role} to {name}.")

    grant.help = f"Grant a role to a {what}."

    @_command(group, "revoke")
    @click.argument("name")
    @click.argument("role")
    @_REALM
    def revoke(name: str, role: str, realm: str) -> None:
        _revoke(_find(model, name, realm), role)
        click.echo(f"Revoked the role {role} of {name}.")

    revoke.help = f"Revoke a role of a {what}."


def _add_switch(group: click.Group, kind: Kind, model: type[User | Robot], word: str, active: bool) -> None:
    @_command(group, word)
    @click.argument("name")
    @_REALM
    def switch(name: str, realm: str) -> None:
        kind.update(operator(), _find(model, name, realm).id, {"active": active})
        click.echo(f"{name} is {word}d.")

    switch.help = f"{word.capitalize()} a {kind.name}, with immediate effect."


_add_common(user, Users(), User)
_add_common(robot, Robots(), Robot)


@_command(realm, "create")
@click.argument("name")
@click.option("--share-default-hub", is_flag=True, help="Allow it to publish with the service's Hub token.")
def create_realm(name: str, share_default_hub: bool) -> None:
    """Create a realm."""
    row = Realms().create(operator(), load(RealmInput(), {"name": name, "share_default_hub": share_default_hub}))
    click.echo(f"Created realm {row.name}. Id: {row.id}")


@_command(realm, "list")
def list_realms() -> None:
    """List realms: id, name."""
    for row in db.session.scalars(sa.select(Realm).order_by(Realm.name)):
        click.echo(f"{row.id}\t{row.name}")


@_command(realm, "delete")
@click.argument("name")
def delete_realm(name: str) -> None:
    """Delete a realm with its accounts; its Spaces must be deleted first."""
    Realms().delete(operator(), _realm(name).id)
    click.echo(f"Deleted realm {name}.")


@_command(role, "create")
@click.argument("name")
@click.option("--realm", help="Name or id of its realm; default: a role of all realms.")
@click.option(
    "--permission",
    "names",
    multiple=True,
    type=click.Choice(list(PERMISSIONS)),
    help="Permission to grant; can be repeated.",
)
def create_role(name: str, realm: str | None, names: tuple[str, ...]) -> None:
    """Create a role."""
    values = {"name": name, "realm_id": _realm(realm).id if realm else None}
    row = Roles().create(operator(), load(RoleInput(), values))
    for permission in names:
        query = sa.select(Permission.id).where(Permission.name == permission, Permission.built_in.is_(True))
        pair = {"role_id": row.id, "permission_id": db.session.scalars(query).one()}
        grants_of("role", "permission").create(operator(), pair)
    click.echo(f"Created role {row.name}.")


@_command(role, "list")
def list_roles() -> None:
    """List roles: id, realm, name."""
    for row in db.session.scalars(sa.select(Role).order_by(Role.name)):
        click.echo(f"{row.id}\t{row.realm.name if row.realm else '*'}\t{row.name}")


@_command(role, "delete")
@click.argument("name")
@click.option("--realm", help="Name or id of its realm; default: a role of all realms.")
def delete_role(name: str, realm: str | None) -> None:
    """Delete a role."""
    Roles().delete(operator(), _role(name, _realm(realm).id if realm else None).id)
    click.echo(f"Deleted role {name}.")


@_command(secrets_group, "rotate")
def rotate() -> None:
    """Encrypt all stored secrets with the current SECRET_KEY; set former ones in OLD_SECRET_KEYS."""
    done = key_rotation.rotate(current_services().vault)
    click.echo(f"Encrypted {done} secrets with the current SECRET_KEY; OLD_SECRET_KEYS can be cleared.")


def _password(from_stdin: bool) -> tuple[bool, str]:
    return from_stdin, sys.stdin.readline().rstrip("\r\n") if from_stdin else secrets.token_urlsafe(15)


def _realm(name: str) -> Realm:
    row = db.session.scalar(sa.select(Realm).where(sa.or_(Realm.name == name, Realm.id == name)))
    return row or _missing(f"There is no realm {name}.")


def _find(model: type[User | Robot], name: str, realm: str) -> Any:
    same = sa.or_(model.name == name, model.id == name)
    row = db.session.scalar(sa.select(model).where(same, model.realm_id == _realm(realm).id))
    return row or _missing(f"There is no {model.__name__.lower()} {name} in the realm {realm}.")


def _role(name: str, realm_id: str | None) -> Role:
    in_realm = sa.or_(Role.realm_id.is_(None), Role.realm_id == realm_id)
    row = db.session.scalar(sa.select(Role).where(Role.name == name, in_realm))
    return row or _missing(f"There is no role {name}.")


def _grant(row: User | Robot, names: tuple[str, ...]) -> None:
    kind = "user" if isinstance(row, User) else "robot"
    for name in names:
        if name not in _role_names(row):
            pair = {f"{kind}_id": row.id, "role_id": _role(name, row.realm_id).id}
            grants_of(kind, "role").create(operator(), pair)
    if "admin" in names and "realm_manage" not in permissions_of(row):
        click.echo("Note: outside the realm master, the role admin is equivalent to realm_admin.", err=True)


def _grant_only(row: User | Robot, names: tuple[str, ...]) -> None:
    _grant(row, names)
    for name in _role_names(row) if names else []:
        if name not in names:
            _revoke(row, name)


def _revoke(row: User | Robot, name: str) -> None:
    kind = "user" if isinstance(row, User) else "robot"
    model: type[Any] = UserRole if isinstance(row, User) else RobotRole
    held = getattr(model, f"{kind}_id") == row.id
    found = db.session.scalar(sa.select(model).join(Role).where(held, Role.name == name))
    grants_of(kind, "role").delete(operator(), (found or _missing(f"{row.name} does not have the role {name}.")).id)


def _role_names(row: User | Robot) -> list[str]:
    model, held = (UserRole, UserRole.user_id) if isinstance(row, User) else (RobotRole, RobotRole.robot_id)
    return list(db.session.scalars(sa.select(Role.name).join(model).where(held == row.id).order_by(Role.name)))


def _missing(message: str) -> NoReturn:
    raise click.ClickException(message)
