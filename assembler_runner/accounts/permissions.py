"""Authorization: permissions, built-in roles, and visibility of realms.

Everything that is not granted is denied. A view declares the permission it requires (:func:`requires`); the guard
checks that the account has it. Only built-in permissions have an effect, so creating a permission grants nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from assembler_runner.accounts.models import (
    Permission,
    Realm,
    Robot,
    RobotPermission,
    RobotRole,
    Role,
    RolePermission,
    User,
    UserPermission,
    UserRole,
)
from assembler_runner.core.database import db
from assembler_runner.core.errors import Forbidden

MASTER_REALM = "master"

PERMISSIONS: dict[str, str] = {
    "space_create": "Submit and preview Spaces.",
    "space_read": "Read Spaces, their requests, files and events.",
    "space_update": "Update Spaces; cancel and retry requests.",
    "space_delete": "Delete Spaces.",
    "bucket_create": "Create buckets.",
    "bucket_read": "Read buckets and their files, and use them in Spaces.",
    "bucket_update": "Update buckets and upload files.",
    "bucket_delete": "Delete buckets and their files.",
    "plugin_read": "Read space types and plugins.",
    "realm_read": "Read the own realm.",
    "realm_update": "Change names and description of the own realm.",
    "realm_manage": "Create, update and delete realms, set quotas, and manage the objects of all realms.",
    "user_read": "Read users and their grants.",
    "user_manage": "Create, update and delete users, and grant them own permissions.",
    "robot_read": "Read robots (clients) and their grants.",
    "robot_manage": "Create, update and delete robots (clients), and grant them own permissions.",
    "role_read": "Read roles and permissions.",
    "role_manage": "Create, update and delete roles and permissions of the realm.",
    "hub_credential_read": "Read which Hub account and git hosts the realm has credentials for.",
    "hub_credential_manage": "Set and remove the Hub token and the git credentials of the realm.",
    "audit_read": "Read the audit log.",
    "metrics_read": "Read the metrics of the service.",
}
"""Name → description."""

MASTER_ONLY = frozenset({"realm_manage", "metrics_read"})
"""Permissions that have an effect only for accounts of the realm `master`."""

_VIEWER = ("space_read", "bucket_read", "plugin_read", "realm_read", "role_read")
_MEMBER = (*_VIEWER, "space_create", "space_update", "space_delete", "bucket_create", "bucket_update", "bucket_delete")

ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("All permissions in all realms (for accounts of master).", tuple(PERMISSIONS)),
    "realm_admin": (
        "All permissions in the own realm.",
        tuple(name for name in PERMISSIONS if name not in MASTER_ONLY),
    ),
    "member": ("Creates, updates and deletes Spaces and buckets of the own realm.", _MEMBER),
    "viewer": ("Reads the Spaces and buckets of the own realm.", _VIEWER),
    "monitor": ("Reads the metrics (for accounts of master).", ("metrics_read",)),
}
"""Name → description, permissions."""

QUOTAS = ("spaces", "requests_per_hour", "bytes")
"""Quotas of a realm and of an account."""

ANY_ACCOUNT = "any"
"""Used instead of a permission: any authenticated account."""

OPERATOR = "operator"
"""Kind of account for commands on the server itself."""

_NAMESPACE = uuid.UUID("6f1d0a4e-52a7-4a43-9a0c-2f8f6c1b7d10")
_View = TypeVar("_View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Account:
    """The caller.

    Args:
        id: id of the user or robot.
        name: its name.
        realm_id: its realm; everything it creates belongs to it.
        realm_name: name of that realm.
        kind: user, robot, or operator (on the server itself).
        permissions: names of its permissions.
        session_id: the login session of its token, if any.
        limits: the configured quotas of the account and its realm, by their ids; None if they were not loaded.
        token_id: the personal token that the call was made with, if any.
    """

    id: str
    name: str
    realm_id: str
    realm_name: str
    kind: str = "user"
    permissions: frozenset[str] = field(default=frozenset(), repr=False)
    session_id: str | None = None
    limits: Mapping[str, Mapping[str, int | None]] | None = field(default=None, repr=False, compare=False)
    token_id: str | None = None

    @property
    def everywhere(self) -> bool:
        """Whether it can read and manage all realms."""
        return "realm_manage" in self.permissions

    def sees(self, realm_id: str | None) -> bool:
        """Whether objects of a realm are visible to it."""
        return self.everywhere or realm_id == self.realm_id

    def visible(self, column: Any) -> sa.ColumnElement[bool]:
        """Returns the SQL condition for rows of realms visible to it.

        Args:
            column: the column with the realm's id.
        """
        return sa.true() if self.everywhere else column == self.realm_id

    def require_permissions(self, permissions: Iterable[str]) -> None:
        """Checks that it has all of the permissions, for example before it grants them.

        Raises:
            Forbidden: permissions are missing; the message names them.
        """
        missing = sorted(set(permissions) - self.permissions)
        if missing:
            raise Forbidden(
                f"This account does not have {', '.join(missing)} itself.",
                hint="Accounts can grant only permissions they have, and change only accounts with no more than these.",
            )


def operator() -> Account:
    """Returns the account for commands on the server itself, which has all permissions."""
    return Account("", OPERATOR, "", "", OPERATOR, frozenset(PERMISSIONS))


def requires(permission: str) -> Callable[[_View], _View]:
    """Declares the permission that a view requires.

    Args:
        permission: a name of :data:`PERMISSIONS`, or :data:`ANY_ACCOUNT`.
    Raises:
        ValueError: there is no such permission.
    """
    if permission != ANY_ACCOUNT and permission not in PERMISSIONS:
        raise ValueError(f"unknown permission {permission}")

    def mark(view: _View) -> _View:
        view.requires = permission  # type: ignore[attr-defined]  # read by the guard
        return view

    return mark


def account_of(row: User | Robot, session_id: str | None = None) -> Account:
    """Returns a user or robot as the caller, with its permissions and quotas."""
    kind = "user" if isinstance(row, User) else "robot"
    limits = {one.id: {name: getattr(one, f"max_{name}") for name in QUOTAS} for one in (row, row.realm)}
    return Account(row.id, row.name, row.realm_id, row.realm.name, kind, permissions_of(row), session_id, limits)


def permissions_of(row: User | Robot) -> frozenset[str]:
    """Returns the names of all permissions of a user or robot, granted by roles or directly."""
    return permissions_held("user" if isinstance(row, User) else "robot", row.id, row.realm.name)


def permissions_held(kind: str, holder_id: str, realm_name: str) -> frozenset[str]:
    """Returns the names of all permissions of an account, granted by roles or directly.

    Args:
        kind: user or robot.
        holder_id: id of the account.
        realm_name: name of its realm.
    """
    found = _known(db.session.scalars(_permissions_held(kind), {"holder": holder_id}))
    return found if realm_name == MASTER_REALM else found - MASTER_ONLY


def permissions_of_role(role_id: str) -> frozenset[str]:
    """Returns the names of the permissions of a role."""
    of_role = sa.select(RolePermission.permission_id).where(RolePermission.role_id == role_id)
    return _known(db.session.scalars(_BUILT_IN.where(Permission.id.in_(of_role))))


_BUILT_IN = sa.select(Permission.name).where(Permission.built_in.is_(True))


@cache  # constructing the statement costs more than executing it, and every call executes it
def _permissions_held(kind: str) -> sa.Select[str]:
    holder = sa.bindparam("holder", type_=sa.String)
    if kind == "user":
        roles = sa.select(UserRole.role_id).where(UserRole.user_id == holder)
        direct = sa.select(UserPermission.permission_id).where(UserPermission.user_id == holder)
    else:
        roles = sa.select(RobotRole.role_id).where(RobotRole.robot_id == holder)
        direct = sa.select(RobotPermission.permission_id).where(RobotPermission.robot_id == holder)
    by_role = sa.select(RolePermission.permission_id).where(RolePermission.role_id.in_(roles))
    return _BUILT_IN.where(sa.or_(Permission.id.in_(by_role), Permission.id.in_(direct)))


def _known(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names) & PERMISSIONS.keys()


def built_in_id(kind: str, name: str) -> str:
    """Returns the id of a built-in role or permission, the same in every installation."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}:{name}"))


def ensure_built_in() -> None:
    """Creates missing built-in permissions and roles; the caller commits."""
    session = db.session
    permissions = {row.name: row for row in session.scalars(sa.select(Permission).where(Permission.built_in.is_(True)))}
    for name, description in PERMISSIONS.items():
        if name not in permissions:
            row = Permission(id=built_in_id("permission", name), name=name, description=description, built_in=True)
            permissions[name] = row
            session.add(row)
    roles = {row.name: row for row in session.scalars(sa.select(Role).where(Role.built_in.is_(True)))}
    for name, (description, _) in ROLES.items():
        if name not in roles:
            roles[name] = Role(id=built_in_id("role", name), name=name, description=description, built_in=True)
            session.add(roles[name])
    session.flush()
    existing = {tuple(row) for row in session.execute(sa.select(RolePermission.role_id, RolePermission.permission_id))}
    for name, (_, granted) in ROLES.items():
        for permission in granted:
            pair = (roles[name].id, permissions[permission].id)
            if pair not in existing:
                session.add(RolePermission(role_id=pair[0], permission_id=pair[1]))
    session.flush()


def grant_role(row: User | Robot, role: Role) -> UserRole | RobotRole:
    """Grants a role to a user or robot; the caller commits."""
    grant: UserRole | RobotRole
    if isinstance(row, User):
        grant = UserRole(user_id=row.id, user_realm_id=row.realm_id, role_id=role.id, role_realm_id=role.realm_id)
    else:
        grant = RobotRole(robot_id=row.id, robot_realm_id=row.realm_id, role_id=role.id, role_realm_id=role.realm_id)
    db.session.add(grant)
    return grant


def has_manager() -> bool:
    """Returns whether an active user of master can still manage everything."""
    users = sa.select(User).join(Realm).where(User.active.is_(True), Realm.name == MASTER_REALM)
    return any("realm_manage" in permissions_of(user) for user in db.session.scalars(users))
