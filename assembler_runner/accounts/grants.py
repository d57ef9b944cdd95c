"""Grants of roles to accounts, and of permissions to accounts and roles, as a kind of object."""

from __future__ import annotations

from typing import Any

from assembler_runner.accounts.directory import Permissions, Robots, Roles, Users
from assembler_runner.accounts.models import (
    Permission,
    RobotPermission,
    RobotRole,
    Role,
    RolePermission,
    UserPermission,
    UserRole,
)
from assembler_runner.accounts.permissions import PERMISSIONS, Account, permissions_of_role
from assembler_runner.accounts.resources import Kind, refusal
from assembler_runner.core.errors import NotFound


class Grants(Kind):
    """Grants of one kind: roles or permissions of users and robots, or permissions of roles.

    Args:
        name: name of the kind, such as user_role.
        model: the association table.
        holder: kind of the objects that receive the grant.
        granted: kind of the granted objects.
    """

    def __init__(self, name: str, model: type[Any], holder: Kind, granted: Kind) -> None:
        self.name = name
        self.model = model
        self.holder, self.granted = holder, granted
        self.realm_key = f"{holder.name}_realm_id"
        self.shared = holder.shared
        self.may_read = holder.may_read
        self.may_create = self.may_update = self.may_delete = holder.may_update

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: both sides are visible to the caller, share a realm, and grant nothing it lacks."""
        holder, granted = self._side(account, self.holder, values), self._side(account, self.granted, values)
        if granted.realm_id not in (None, holder.realm_id):
            message = f"The {self.granted.name} belongs to another realm than the {self.holder.name}."
            raise refusal("other_realm", message, f"{self.granted.name}_id", "Use one of the same realm.")
        self.holder.check_change(account, holder)
        account.require_permissions(_permissions_granted_by(granted))
        realms = {f"{self.holder.name}_realm_id": holder.realm_id, f"{self.granted.name}_realm_id": granted.realm_id}
        return values | realms

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`: the rule is that of the holder."""
        self.holder.check_change(account, getattr(row, self.holder.name))

    def _side(self, account: Account, kind: Kind, values: dict[str, Any]) -> Any:
        field = f"{kind.name}_id"
        try:
            return kind.find(account, values[field])
        except NotFound as problem:
            raise refusal(f"unknown_{kind.name}", problem.message, field, "Use an id from the list.") from None


_MODELS: dict[tuple[str, str], type[Any]] = {
    ("role", "permission"): RolePermission,
    ("user", "role"): UserRole,
    ("user", "permission"): UserPermission,
    ("robot", "role"): RobotRole,
    ("robot", "permission"): RobotPermission,
}


def grants_of(holder: str, granted: str) -> Grants:
    """Returns the kind of grants between two kinds.

    Args:
        holder: role, user or robot.
        granted: permission or role.
    """
    kinds: dict[str, Kind] = {kind.name: kind for kind in (Users(), Robots(), Roles(), Permissions())}
    return Grants(f"{holder}_{granted}", _MODELS[holder, granted], kinds[holder], kinds[granted])


def _permissions_granted_by(granted: Role | Permission) -> frozenset[str]:
    if isinstance(granted, Role):
        return permissions_of_role(granted.id)
    return frozenset({granted.name} & PERMISSIONS.keys()) if granted.built_in else frozenset()
