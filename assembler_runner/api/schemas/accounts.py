"""Schemas of the endpoints below /auth.

Keys of bodies may be snake_case or camelCase, as sent by published clients of the FLAME Hub; responses use snake_case.
"""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma

from assembler_runner.accounts.models import AuditEntry, HubCredential, Permission, Realm, Robot, Role, User
from assembler_runner.api.schemas.base import AutoSchema, Flag
from assembler_runner.api.schemas.fields import Id, Input, Text, name, password, quota, text
from assembler_runner.api.schemas.space_input import check_name

TIMESTAMPS = ("created_at", "updated_at")
QUOTAS = ("max_spaces", "max_requests_per_hour", "max_bytes")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")


def _check_email(email: str) -> None:
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise ma.ValidationError("Must be an e-mail address.")


class _Described(Input):
    display_name = text(128, "Display name.")
    description = text(10_000, "Description.")


class _Quotas(Input):
    max_spaces = quota("Maximum number of Spaces; null for the default.")
    max_requests_per_hour = quota("Maximum requests per hour; null for the default.")
    max_bytes = ma.fields.Integer(
        strict=True,
        allow_none=True,
        validate=ma.validate.Range(0, 2**60),
        metadata={"description": "Maximum bytes in files; null for the default."},
    )


class RealmInput(_Described, _Quotas):
    """A new realm, or changes of one."""

    name = name()
    share_default_hub = Flag(
        metadata={"description": "Whether the realm may publish with the service's own Hub token."}
    )
    allow_agents = Flag(
        metadata={
            "description": "Whether accounts of the realm may use the tools for agents, /mcp; true for a new realm."
        }
    )


class SelfInput(Input):
    """Changes that users may make to their own account."""

    display_name = text(128, "Display name.")
    first_name = text(128, "First name.")
    last_name = text(128, "Last name.")
    email = Text(allow_none=True, validate=_check_email, metadata={"description": "E-mail address."})
    password = ma.fields.String(
        load_only=True,
        validate=ma.validate.Length(8, 512),
        metadata={"description": "New password; revokes all tokens."},
    )
    current_password = ma.fields.String(
        load_only=True, metadata={"description": "The current password; required for a new one."}
    )


def _roles() -> ma.fields.List[str]:
    return ma.fields.List(
        Text(validate=ma.validate.Length(1, 64)),
        load_only=True,
        validate=ma.validate.Length(max=50),
        metadata={"description": "Names or ids of its roles, on creation; DEFAULT_ROLE if left out, none if empty."},
    )


class UserInput(_Quotas):
    """A new user, or changes of one."""

    name = name()
    display_name = text(128, "Display name.")
    first_name = text(128, "First name.")
    last_name = text(128, "Last name.")
    email = Text(allow_none=True, validate=_check_email, metadata={"description": "E-mail address."})
    avatar = text(512, "URL of a picture.")
    cover = text(512, "URL of a wide picture.")
    active = Flag(metadata={"description": "Whether it may log in."})
    name_locked = Flag(metadata={"description": "Whether the user may not change its own name."})
    password = password("Write-only; null to disable login by password. A new password revokes all tokens.")
    realm_id = Id(metadata={"description": "Its realm; by default the caller's realm."})
    roles = _roles()


class RobotInput(_Described, _Quotas):
    """A new robot, or changes of one."""

    name = name()
    active = Flag(metadata={"description": "Whether it may log in."})
    secret = password("Write-only; if null, or left out for a new robot, one is generated and shown once.")
    user_id = Id(allow_none=True, metadata={"description": "The user it works for."})
    realm_id = Id(metadata={"description": "Its realm; by default the caller's realm."})
    roles = _roles()


class ClientInput(RobotInput):
    """A new client, or changes of one; a client is the same machine account as a robot."""

    ignored = ("is_confidential", "secret_hashed", "secret_encrypted")

    redirect_uri = text(2048, "Stored, not used.")
    grant_types = text(512, "Stored, not used.")
    base_url = text(2048, "Stored, not used.")
    auth_method = Text(validate=ma.validate.OneOf(("secret",)), metadata={"description": "Only by secret."})
    token_binding_method = Text(validate=ma.validate.OneOf(("none",)), metadata={"description": "Only none."})
    backchannel_logout_uri = text(2048, "Stored, not used.")
    post_logout_redirect_uri = text(2048, "Stored, not used.")


class RoleInput(_Described):
    """A new role, or changes of one."""

    name = name()
    target = Text(
        allow_none=True,
        validate=ma.validate.OneOf(("user", "robot", "client")),
        metadata={"description": "The kind of account the role is for."},
    )
    realm_id = Id(allow_none=True, metadata={"description": "Its realm; null for all realms."})


class PermissionInput(_Described):
    """A new permission, or changes of one."""

    ignored = ("policy_id",)

    name = name()
    realm_id = Id(allow_none=True, metadata={"description": "Its realm; null for all realms."})


class HubCredentialInput(Input):
    """A new Hub token."""

    token = Text(
        required=True,
        load_only=True,
        validate=ma.validate.Regexp(r"[\x21-\x7e]{4,512}\Z", error="Must be a Hub token."),
        metadata={"description": "Token with write access; never shown again."},
    )
    namespaces = ma.fields.List(
        Text(validate=check_name),
        validate=ma.validate.Length(1, 100),
        metadata={"description": "Namespaces the realm may publish to; by default all that the token may write to."},
    )
    default_namespace = Text(
        validate=check_name,
        metadata={"description": "Namespace of requests without one; by default the token's own account."},
    )


class RealmSchema(AutoSchema):
    """A realm."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Realm
        fields = (
            *("id", "name", "display_name", "description", "built_in", "share_default_hub", "allow_agents"),
            *QUOTAS,
            *TIMESTAMPS,
        )


class _InRealm(AutoSchema):
    realm = ma.fields.Nested(RealmSchema, allow_none=True, metadata={"description": "With include=realm."})


class UserSchema(_InRealm):
    """A user."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = User
        include_fk = True
        fields: tuple[str, ...] = (
            *("id", "name", "display_name", "first_name", "last_name", "active", "name_locked", "avatar", "cover"),
            *("realm_id", *QUOTAS, *TIMESTAMPS, "email", "realm"),
        )


class MeSchema(UserSchema):
    """The calling user."""

    class Meta(UserSchema.Meta):
        """The fields of a user, and permissions."""

        fields = (*UserSchema.Meta.fields, "permissions")

    permissions = ma.fields.List(ma.fields.String(), metadata={"description": "All permissions of the account."})


class RobotSchema(_InRealm):
    """A robot."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Robot
        include_fk = True
        fields: tuple[str, ...] = (
            *("id", "name", "display_name", "description", "active", "user_id", "realm_id", *QUOTAS, *TIMESTAMPS),
            *("secret", "realm"),
        )

    secret = ma.fields.String(
        dump_only=True, metadata={"description": "Shown only once, after the service has generated it."}
    )

    @ma.post_dump
    def show_once(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Leaves the secret out if there is none to show."""
        if data.get("secret") is None:
            data.pop("secret", None)
        return data


class RobotMeSchema(RobotSchema):
    """The calling robot."""

    class Meta(RobotSchema.Meta):
        """The fields of a robot, and permissions."""

        fields = (*RobotSchema.Meta.fields, "permissions")

    permissions = ma.fields.List(ma.fields.String(), metadata={"description": "All permissions of the account."})


class ClientSchema(RobotSchema):
    """A client; the same machine account as a robot."""

    class Meta(RobotSchema.Meta):
        """The fields of a robot, and those that published clients read."""

        fields: tuple[str, ...] = (
            *RobotSchema.Meta.fields,
            *("built_in", "redirect_uri", "grant_types", "base_url", "auth_method", "token_binding_method"),
            *("backchannel_logout_uri", "post_logout_redirect_uri", "secret_hashed", "secret_encrypted"),
        )

    secret_hashed = ma.fields.Boolean(metadata={"description": "Always true: only hashes of secrets are stored."})
    secret_encrypted = ma.fields.Boolean(metadata={"description": "Always false: secrets are hashed."})


class RoleSchema(_InRealm):
    """A role."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Role
        include_fk = True
        fields = ("id", "name", "display_name", "description", "target", "built_in", "realm_id", *TIMESTAMPS, "realm")


class PermissionSchema(_InRealm):
    """A permission."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Permission
        include_fk = True
        fields = (
            *("id", "name", "display_name", "description", "built_in", "client_id", "realm_id", "policy_id"),
            *(*TIMESTAMPS, "realm"),
        )


class HubCredentialSchema(AutoSchema):
    """The account of a realm's Hub token; never the token."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = HubCredential
        include_fk = True
        fields = (
            *("realm_id", "account_name", "plan", "role", "orgs", "namespaces", "default_namespace", "key_id"),
            *("checked_at", *TIMESTAMPS),
        )

    orgs = ma.fields.List(ma.fields.Dict(), metadata={"description": "Organizations of the account: name and role."})
    namespaces = ma.fields.List(ma.fields.String(), metadata={"description": "Namespaces the realm may publish to."})


class AuditSchema(AutoSchema):
    """An entry of the audit log."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = AuditEntry
        fields = (
            *("id", "created_at", "realm_id", "actor_kind", "actor_id", "actor_name", "actor_realm_id", "action"),
            *("object_type", "object_id", "object_name", "address", "details"),
        )
