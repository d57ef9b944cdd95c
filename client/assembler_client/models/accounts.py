"""Accounts, roles and permissions as the service returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from assembler_client.models import Model, Thing


class Token(Model):
    """An access token and its refresh token; `expires_in` is in seconds."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - a token type, not a token
    scope: str = ""
    refresh_token: str | None = None


class _Limited(Thing):
    max_spaces: int | None = None
    max_requests_per_hour: int | None = None
    max_bytes: int | None = None


class Realm(_Limited):
    """A realm: an isolated tenant; its objects are invisible to other realms."""

    name: str
    display_name: str | None = None
    description: str | None = None
    built_in: bool = False
    share_default_hub: bool | None = None
    allow_agents: bool | None = None


class User(_Limited):
    """A user; `email` is returned with `fields="email"`, `realm` with `include="realm"`."""

    name: str
    display_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    active: bool = True
    name_locked: bool = False
    avatar: str | None = None
    cover: str | None = None
    realm_id: UUID
    email: str | None = None
    realm: Realm | None = None


class Me(User):
    """The calling account, with its permissions."""

    permissions: list[str] = []


class Robot(_Limited):
    """A machine account; `secret` is shown only on creation or change."""

    name: str
    display_name: str | None = None
    description: str | None = None
    active: bool = True
    user_id: UUID | None = None
    realm_id: UUID
    secret: str | None = None
    realm: Realm | None = None


class Client(Robot):
    """A machine account as an OAuth 2 client."""

    built_in: bool = False
    redirect_uri: str | None = None
    grant_types: str | None = None
    base_url: str | None = None
    auth_method: str | None = None
    token_binding_method: str | None = None
    backchannel_logout_uri: str | None = None
    post_logout_redirect_uri: str | None = None
    secret_hashed: bool | None = None
    secret_encrypted: bool | None = None


class Role(Thing):
    """A named set of permissions."""

    name: str
    display_name: str | None = None
    description: str | None = None
    target: str | None = None
    built_in: bool = False
    realm_id: UUID | None = None
    realm: Realm | None = None


class Permission(Thing):
    """A permission."""

    name: str
    display_name: str | None = None
    description: str | None = None
    built_in: bool = False
    client_id: UUID | None = None
    realm_id: UUID | None = None
    policy_id: UUID | None = None
    realm: Realm | None = None


class _HasRole(Thing):
    role_id: UUID
    role_realm_id: UUID | None = None
    role: Role | None = None
    role_realm: Realm | None = None


class _HasPermission(Thing):
    permission_id: UUID
    permission_realm_id: UUID | None = None
    policy_id: UUID | None = None
    permission: Permission | None = None
    permission_realm: Realm | None = None


class RolePermission(_HasPermission):
    """A permission of a role."""

    role_id: UUID
    role_realm_id: UUID | None = None
    role: Role | None = None
    role_realm: Realm | None = None


class UserRole(_HasRole):
    """A role of a user."""

    user_id: UUID
    user_realm_id: UUID | None = None
    user: User | None = None
    user_realm: Realm | None = None


class UserPermission(_HasPermission):
    """A permission of a user."""

    user_id: UUID
    user_realm_id: UUID | None = None
    user: User | None = None
    user_realm: Realm | None = None


class RobotRole(_HasRole):
    """A role of a robot."""

    robot_id: UUID
    robot_realm_id: UUID | None = None
    robot: Robot | None = None
    robot_realm: Realm | None = None


class RobotPermission(_HasPermission):
    """A permission of a robot."""

    robot_id: UUID
    robot_realm_id: UUID | None = None
    robot: Robot | None = None
    robot_realm: Realm | None = None


class ClientRole(_HasRole):
    """A role of a client."""

    client_id: UUID
    client_realm_id: UUID | None = None
    client: Client | None = None
    client_realm: Realm | None = None


class ClientPermission(_HasPermission):
    """A permission of a client."""

    client_id: UUID
    client_realm_id: UUID | None = None
    client: Client | None = None
    client_realm: Realm | None = None


class Audit(Model):
    """An entry of the audit log."""

    id: int
    created_at: datetime | None = None
    realm_id: UUID | None = None
    actor_kind: str = ""
    actor_id: UUID | None = None
    actor_name: str = ""
    actor_realm_id: UUID | None = None
    action: str = ""
    object_type: str = ""
    object_id: str | None = None
    object_name: str | None = None
    address: str | None = None
    details: Any = None


class HubCredential(Model):
    """The Hub account a realm publishes with; the token itself is never returned."""

    realm_id: UUID
    account_name: str = ""
    plan: str | None = None
    role: str | None = None
    orgs: list[dict[str, Any]] = []
    namespaces: list[str] = []
    default_namespace: str | None = None
    key_id: str | None = None
    checked_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class GitCredential(Model):
    """Credentials of a realm for a git host; the password itself is never returned."""

    realm_id: UUID
    host: str
    username: str = ""
    key_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
