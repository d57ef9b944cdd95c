"""Accounts, roles and permissions as the service returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from assembler_client.models import Model, Thing


class Token(Model):
    """An access token and its refresh token; `expires_in` is in seconds."""

    access_token: str
    """Send it as Authorization: Bearer."""
    expires_in: int
    """Seconds until the access token expires."""
    token_type: str = "Bearer"  # noqa: S105 - a token type, not a token
    """Always Bearer."""
    scope: str = ""
    """Always global."""
    refresh_token: str | None = None
    """Only for users; each one works once."""
    issued_token_type: str | None = None
    """Only after a token exchange."""


class _Limited(Thing):
    max_spaces: int | None = None
    """Maximum number of Spaces; None: the default of the service."""
    max_requests_per_hour: int | None = None
    """Maximum number of requests per hour; None: the default of the service."""
    max_bytes: int | None = None
    """Maximum bytes in files of all requests; None: the default of the service."""


class Realm(_Limited):
    """A realm: an isolated tenant; its objects are invisible to other realms."""

    name: str
    """Unique name."""
    display_name: str | None = None
    """Name for people."""
    description: str | None = None
    """Purpose."""
    built_in: bool = False
    """Whether it is built in."""
    share_default_hub: bool | None = None
    """Whether it may publish with the service's own Hub token."""
    allow_agents: bool | None = None
    """Whether its accounts may use the tools for agents, /mcp."""


class User(_Limited):
    """A user; `email` is returned with `fields="email"`, `realm` with `include="realm"`."""

    name: str
    """Login name, unique in the realm."""
    display_name: str | None = None
    """Name for people."""
    first_name: str | None = None
    """First name."""
    last_name: str | None = None
    """Last name."""
    active: bool = True
    """Whether it may log in."""
    name_locked: bool = False
    """Whether the user cannot change their own name."""
    avatar: str | None = None
    """URL of a picture."""
    cover: str | None = None
    """URL of a wide picture."""
    realm_id: UUID
    """Its realm."""
    email: str | None = None
    """Email address; only returned with fields=+email."""
    realm: Realm | None = None
    """With include=realm."""


class Me(User):
    """The calling account, with its permissions."""

    permissions: list[str] = []
    """All permissions of the account."""


class Robot(_Limited):
    """A machine account; `secret` is shown only on creation or change."""

    name: str
    """Name, unique in the realm."""
    display_name: str | None = None
    """Name for people."""
    description: str | None = None
    """Purpose."""
    active: bool = True
    """Whether it may log in."""
    user_id: UUID | None = None
    """The user it works for, if any."""
    realm_id: UUID
    """Its realm."""
    secret: str | None = None
    """Shown only once, after the service has generated it."""
    realm: Realm | None = None
    """With include=realm."""


class Client(Robot):
    """A machine account as an OAuth 2 client."""

    built_in: bool = False
    """Whether it is built in."""
    redirect_uri: str | None = None
    """Stored, not used."""
    grant_types: str | None = None
    """Stored, not used."""
    base_url: str | None = None
    """Stored, not used."""
    auth_method: str | None = None
    """How it logs in: with its secret."""
    token_binding_method: str | None = None
    """Stored, not used."""
    backchannel_logout_uri: str | None = None
    """Stored, not used."""
    post_logout_redirect_uri: str | None = None
    """Stored, not used."""
    secret_hashed: bool | None = None
    """Always true: only hashes of secrets are stored."""
    secret_encrypted: bool | None = None
    """Always false: secrets are hashed."""


class Role(Thing):
    """A named set of permissions."""

    name: str
    """Name, unique in the realm."""
    display_name: str | None = None
    """Name for people."""
    description: str | None = None
    """Purpose."""
    target: str | None = None
    """Kind of account it is intended for."""
    built_in: bool = False
    """Whether it is built in."""
    realm_id: UUID | None = None
    """Its realm; null: all realms."""
    realm: Realm | None = None
    """With include=realm."""


class Permission(Thing):
    """A permission."""

    name: str
    """Name, unique in the realm."""
    display_name: str | None = None
    """Name for people."""
    description: str | None = None
    """What it allows."""
    built_in: bool = False
    """Whether it is built in."""
    client_id: UUID | None = None
    """Always null."""
    realm_id: UUID | None = None
    """Its realm; null: all realms."""
    policy_id: UUID | None = None
    """Always null."""
    realm: Realm | None = None
    """With include=realm."""


class _HasRole(Thing):
    role_id: UUID
    """The role."""
    role_realm_id: UUID | None = None
    """The realm of the role."""
    role: Role | None = None
    """The role, if included."""
    role_realm: Realm | None = None
    """The realm of the role, if included."""


class _HasPermission(Thing):
    permission_id: UUID
    """The permission."""
    permission_realm_id: UUID | None = None
    """The realm of the permission."""
    policy_id: UUID | None = None
    """Always None."""
    permission: Permission | None = None
    """The permission, if included."""
    permission_realm: Realm | None = None
    """The realm of the permission, if included."""


class RolePermission(_HasPermission):
    """A permission of a role."""

    role_id: UUID
    """The role."""
    role_realm_id: UUID | None = None
    """Realm of the role; null: all realms."""
    role: Role | None = None
    """With include=role."""
    role_realm: Realm | None = None
    """With include=role_realm."""


class UserRole(_HasRole):
    """A role of a user."""

    user_id: UUID
    """The user."""
    user_realm_id: UUID | None = None
    """Realm of the user; null: all realms."""
    user: User | None = None
    """With include=user."""
    user_realm: Realm | None = None
    """With include=user_realm."""


class UserPermission(_HasPermission):
    """A permission of a user."""

    user_id: UUID
    """The user."""
    user_realm_id: UUID | None = None
    """Realm of the user; null: all realms."""
    user: User | None = None
    """With include=user."""
    user_realm: Realm | None = None
    """With include=user_realm."""


class RobotRole(_HasRole):
    """A role of a robot."""

    robot_id: UUID
    """The robot."""
    robot_realm_id: UUID | None = None
    """Realm of the robot; null: all realms."""
    robot: Robot | None = None
    """With include=robot."""
    robot_realm: Realm | None = None
    """With include=robot_realm."""


class RobotPermission(_HasPermission):
    """A permission of a robot."""

    robot_id: UUID
    """The robot."""
    robot_realm_id: UUID | None = None
    """Realm of the robot; null: all realms."""
    robot: Robot | None = None
    """With include=robot."""
    robot_realm: Realm | None = None
    """With include=robot_realm."""


class ClientRole(_HasRole):
    """A role of a client."""

    client_id: UUID
    """The client."""
    client_realm_id: UUID | None = None
    """The client."""
    client: Client | None = None
    """With include=client."""
    client_realm: Realm | None = None
    """With include=client_realm."""


class ClientPermission(_HasPermission):
    """A permission of a client."""

    client_id: UUID
    """The client."""
    client_realm_id: UUID | None = None
    """The client."""
    client: Client | None = None
    """With include=client."""
    client_realm: Realm | None = None
    """With include=client_realm."""


class Audit(Model):
    """An entry of the audit log."""

    id: int
    """Increasing number."""
    created_at: datetime | None = None
    """Time, UTC."""
    realm_id: UUID | None = None
    """Realm of the object."""
    actor_kind: str = ""
    """user, robot or operator."""
    actor_id: UUID | None = None
    """Id of the actor."""
    actor_name: str = ""
    """Name of the actor at that time."""
    actor_realm_id: UUID | None = None
    """Realm of the actor."""
    action: str = ""
    """Action: create, update, delete …."""
    object_type: str = ""
    """Kind of the object."""
    object_id: str | None = None
    """Id of the object."""
    object_name: str | None = None
    """Name of the object at that time."""
    address: str | None = None
    """IP address of the caller; null: on the server itself."""
    details: Any = None
    """Further details, such as names of changed fields; never secrets."""


class HubCredential(Model):
    """The Hub account a realm publishes with; the token itself is never returned."""

    realm_id: UUID
    """Its realm."""
    account_name: str = ""
    """Hub account of the token."""
    plan: str | None = None
    """free or pro."""
    role: str | None = None
    """Role of the token."""
    orgs: list[dict[str, Any]] = []
    """Organizations of the account: name and role."""
    namespaces: list[str] = []
    """Namespaces the realm may publish to."""
    default_namespace: str | None = None
    """Namespace used if a request names none."""
    key_id: str | None = None
    """Id of the key that encrypted the token."""
    checked_at: datetime | None = None
    """When the token was last checked with the Hub, UTC."""
    created_at: datetime | None = None
    """Creation time, UTC."""
    updated_at: datetime | None = None
    """Time of the last change, UTC."""


class GitCredential(Model):
    """Credentials of a realm for a git host; the password itself is never returned."""

    realm_id: UUID
    """The realm."""
    host: str
    """The git host."""
    username: str = ""
    """The name to log in with."""
    key_id: str | None = None
    """Which key of the service encrypted the password."""
    created_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was changed last."""
