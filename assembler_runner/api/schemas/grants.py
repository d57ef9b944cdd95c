"""Schemas of grants: roles and permissions of roles, users, robots and clients."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from assembler_runner.accounts.models import RobotPermission, RobotRole, RolePermission, UserPermission, UserRole
from assembler_runner.api.schemas.accounts import (
    ClientSchema,
    PermissionSchema,
    RealmSchema,
    RobotSchema,
    RoleSchema,
    UserSchema,
)
from assembler_runner.api.schemas.base import AutoSchema
from assembler_runner.api.schemas.fields import Id, Input


def _grant_input(holder: str, granted: str, shown_as: str | None = None) -> type[Input]:
    shown = shown_as or holder
    fields: dict[str, Any] = {
        f"{shown}_id": Id(required=True, attribute=f"{holder}_id", metadata={"description": f"The {shown}."}),
        f"{granted}_id": Id(required=True, metadata={"description": f"The {granted}."}),
    }
    members = {"__doc__": f"A {granted} for a {shown}.", "ignored": ("policy_id",), **fields}
    return type(f"{shown.capitalize()}{granted.capitalize()}Input", (Input,), members)


RolePermissionInput = _grant_input("role", "permission")
UserRoleInput = _grant_input("user", "role")
UserPermissionInput = _grant_input("user", "permission")
RobotRoleInput = _grant_input("robot", "role")
RobotPermissionInput = _grant_input("robot", "permission")
ClientRoleInput = _grant_input("robot", "role", "client")
ClientPermissionInput = _grant_input("robot", "permission", "client")


_SIDES: dict[str, type[AutoSchema]] = {
    "role": RoleSchema,
    "permission": PermissionSchema,
    "user": UserSchema,
    "robot": RobotSchema,
    "client": ClientSchema,
}
_NOT_NESTED = ("realm", "email", "secret")


def _nested(schema: type[AutoSchema], name: str) -> type[AutoSchema]:
    """Returns the schema of an object inside another, without the optional fields."""
    shown = tuple(field for field in schema.Meta.fields if field not in _NOT_NESTED)  # type: ignore[attr-defined]  # ours
    meta = type("Meta", (schema.Meta,), {"fields": shown})
    return type(f"Nested{name.capitalize()}Schema", (schema,), {"__doc__": schema.__doc__, "Meta": meta})


_NESTED = {name: _nested(schema, name) for name, schema in _SIDES.items()}


def _grant_schema(table: type[Any], holder: str, granted: str, shown_as: str | None = None) -> type[AutoSchema]:
    shown = shown_as or holder
    added: dict[str, Any] = {}
    for side, name in ((holder, shown), (granted, granted)):
        added[name] = ma.fields.Nested(_NESTED[name], attribute=side, metadata={"description": f"With include={name}."})
        added[f"{name}_realm"] = ma.fields.Nested(
            RealmSchema,
            attribute=f"{side}.realm",
            allow_none=True,
            metadata={"description": f"With include={name}_realm."},
        )
    columns = [column.key for column in table.__mapper__.columns if not column.key.startswith(holder)]
    for column in (f"{holder}_id", f"{holder}_realm_id"):
        key = column.replace(holder, shown, 1)
        columns.append(key)
        if shown != holder:
            added[key] = ma.fields.String(attribute=column, metadata={"description": f"The {shown}."})
    meta = type("Meta", (AutoSchema.Meta,), {"model": table, "include_fk": True, "fields": (*columns, *added)})
    title = f"{shown.capitalize()}{granted.capitalize()}Schema"
    return type(title, (AutoSchema,), {"__doc__": f"A {granted} that a {shown} has.", "Meta": meta, **added})


RolePermissionSchema = _grant_schema(RolePermission, "role", "permission")
UserRoleSchema = _grant_schema(UserRole, "user", "role")
UserPermissionSchema = _grant_schema(UserPermission, "user", "permission")
RobotRoleSchema = _grant_schema(RobotRole, "robot", "role")
RobotPermissionSchema = _grant_schema(RobotPermission, "robot", "permission")
ClientRoleSchema = _grant_schema(RobotRole, "robot", "role", "client")
ClientPermissionSchema = _grant_schema(RobotPermission, "robot", "permission", "client")
