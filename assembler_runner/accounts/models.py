"""Tables of realms, users, robots, roles, permissions, sessions, Hub credentials and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from assembler_runner.core.database import Base, JsonText, Timestamps, UtcDateTime, id_column, utcnow


class Quotas:
    """Quotas; null: the service's default."""

    max_spaces: Mapped[int | None] = mapped_column(doc="Maximum number of Spaces; null: the default.")
    max_requests_per_hour: Mapped[int | None] = mapped_column(doc="Maximum requests per hour; null: the default.")
    max_bytes: Mapped[int | None] = mapped_column(sa.BigInteger, doc="Maximum bytes in files; null: the default.")


class Realm(Quotas, Timestamps, Base):
    """A tenant: objects of other realms do not exist for its accounts."""

    __tablename__ = "realms"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(64), unique=True, doc="Unique name.")
    display_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Name for people.")
    description: Mapped[str | None] = mapped_column(sa.Text, doc="Purpose.")
    built_in: Mapped[bool] = mapped_column(default=False, doc="Whether it is built in.")
    share_default_hub: Mapped[bool] = mapped_column(
        default=False, server_default="0", doc="Whether it may publish with the service's own Hub token."
    )
    allow_agents: Mapped[bool] = mapped_column(
        default=True, server_default="1", doc="Whether its accounts may use the tools for agents, /mcp."
    )


class FlameCompatibility:
    """Columns that published FLAME Hub clients write and read; not used by the service."""

    redirect_uri: Mapped[str | None] = mapped_column(sa.String(2048), doc="Stored, not used.")
    grant_types: Mapped[str | None] = mapped_column(sa.String(512), doc="Stored, not used.")
    base_url: Mapped[str | None] = mapped_column(sa.String(2048), doc="Stored, not used.")
    auth_method: Mapped[str] = mapped_column(sa.String(16), default="secret", doc="How it logs in: with its secret.")
    token_binding_method: Mapped[str] = mapped_column(sa.String(16), default="none", doc="Stored, not used.")
    backchannel_logout_uri: Mapped[str | None] = mapped_column(sa.String(2048), doc="Stored, not used.")
    post_logout_redirect_uri: Mapped[str | None] = mapped_column(sa.String(2048), doc="Stored, not used.")


class User(Quotas, Timestamps, Base):
    """A person's account."""

    __tablename__ = "users"
    __table_args__ = (sa.UniqueConstraint("realm_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(64), doc="Login name, unique in the realm.")
    display_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Name for people.")
    first_name: Mapped[str | None] = mapped_column(sa.String(128), doc="First name.")
    last_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Last name.")
    email: Mapped[str | None] = mapped_column(sa.String(254), doc="Email address; only returned with fields=+email.")
    avatar: Mapped[str | None] = mapped_column(sa.String(512), doc="URL of a picture.")
    cover: Mapped[str | None] = mapped_column(sa.String(512), doc="URL of a wide picture.")
    active: Mapped[bool] = mapped_column(default=True, doc="Whether it may log in.")
    name_locked: Mapped[bool] = mapped_column(
        default=False, server_default="0", doc="Whether the user cannot change their own name."
    )
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm.")
    # Null: no login by password.
    password_hash: Mapped[str | None] = mapped_column(sa.String(255))
    # A new password increments it, which ends all sessions of older generations.
    token_generation: Mapped[int] = mapped_column(default=0)

    realm: Mapped[Realm] = relationship(lazy="joined")


class Robot(Quotas, FlameCompatibility, Timestamps, Base):
    """A machine's account, available as a robot and as an OAuth 2 client."""

    __tablename__ = "robots"
    __table_args__ = (sa.UniqueConstraint("realm_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(64), doc="Name, unique in the realm.")
    display_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Name for people.")
    description: Mapped[str | None] = mapped_column(sa.Text, doc="Purpose.")
    active: Mapped[bool] = mapped_column(default=True, doc="Whether it may log in.")
    built_in: Mapped[bool] = mapped_column(default=False, doc="Whether it is built in.")
    user_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("users.id", ondelete="SET NULL"), index=True, doc="The user it works for, if any."
    )
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm.")
    # Set only on a newly created row: returned once.
    secret: ClassVar[str | None] = None
    secret_hash: Mapped[str] = mapped_column(sa.String(255))
    token_generation: Mapped[int] = mapped_column(default=0)

    realm: Mapped[Realm] = relationship(lazy="joined")

    @property
    def secret_hashed(self) -> bool:
        """Secrets are stored only as hashes."""
        return True

    @property
    def secret_encrypted(self) -> bool:
        """Secrets are hashed, not encrypted."""
        return False


class Role(Timestamps, Base):
    """A named set of permissions."""

    __tablename__ = "roles"
    __table_args__ = (sa.UniqueConstraint("realm_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(64), doc="Name, unique in the realm.")
    display_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Name for people.")
    description: Mapped[str | None] = mapped_column(sa.Text, doc="Purpose.")
    target: Mapped[str | None] = mapped_column(sa.String(16), doc="Kind of account it is intended for.")
    built_in: Mapped[bool] = mapped_column(default=False, doc="Whether it is built in.")
    realm_id: Mapped[str | None] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm; null: all realms.")

    realm: Mapped[Realm | None] = relationship(lazy="joined")


class Permission(Timestamps, Base):
    """The right to perform one kind of operation; only built-in permissions have an effect in this service."""

    __tablename__ = "permissions"
    __table_args__ = (sa.UniqueConstraint("realm_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(64), doc="Name, unique in the realm.")
    display_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Name for people.")
    description: Mapped[str | None] = mapped_column(sa.Text, doc="What it allows.")
    built_in: Mapped[bool] = mapped_column(default=False, doc="Whether it is built in.")
    client_id: Mapped[str | None] = mapped_column(sa.String(36), doc="Always null.")
    policy_id: Mapped[str | None] = mapped_column(sa.String(36), doc="Always null.")
    realm_id: Mapped[str | None] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm; null: all realms.")

    realm: Mapped[Realm | None] = relationship(lazy="joined")


def _to(table: str, doc: str) -> Any:
    return mapped_column(sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), index=True, doc=doc)


def _realm_of(side: str) -> Any:
    # A copy for filters; accounts, roles and permissions never change their realm.
    return mapped_column(sa.String(36), index=True, doc=f"Realm of the {side}; null: all realms.")


class RolePermission(Timestamps, Base):
    """A permission that a role has."""

    __tablename__ = "role_permissions"
    __table_args__ = (sa.UniqueConstraint("role_id", "permission_id"), Base.__table_args__)

    id: Mapped[str] = id_column()
    role_id: Mapped[str] = _to("roles", "The role.")
    role_realm_id: Mapped[str | None] = _realm_of("role")
    permission_id: Mapped[str] = _to("permissions", "The permission.")
    permission_realm_id: Mapped[str | None] = _realm_of("permission")
    policy_id: Mapped[str | None] = mapped_column(sa.String(36), doc="Always null.")

    role: Mapped[Role] = relationship()
    permission: Mapped[Permission] = relationship()


class UserRole(Timestamps, Base):
    """A role that a user has."""

    __tablename__ = "user_roles"
    __table_args__ = (sa.UniqueConstraint("user_id", "role_id"), Base.__table_args__)

    id: Mapped[str] = id_column()
    user_id: Mapped[str] = _to("users", "The user.")
    user_realm_id: Mapped[str] = _realm_of("user")
    role_id: Mapped[str] = _to("roles", "The role.")
    role_realm_id: Mapped[str | None] = _realm_of("role")

    user: Mapped[User] = relationship()
    role: Mapped[Role] = relationship()


class UserPermission(Timestamps, Base):
    """A permission granted directly to a user."""

    __tablename__ = "user_permissions"
    __table_args__ = (sa.UniqueConstraint("user_id", "permission_id"), Base.__table_args__)

    id: Mapped[str] = id_column()
    user_id: Mapped[str] = _to("users", "The user.")
    user_realm_id: Mapped[str] = _realm_of("user")
    permission_id: Mapped[str] = _to("permissions", "The permission.")
    permission_realm_id: Mapped[str | None] = _realm_of("permission")
    policy_id: Mapped[str | None] = mapped_column(sa.String(36), doc="Always null.")

    user: Mapped[User] = relationship()
    permission: Mapped[Permission] = relationship()


class RobotRole(Timestamps, Base):
    """A role that a robot has."""

    __tablename__ = "robot_roles"
    __table_args__ = (sa.UniqueConstraint("robot_id", "role_id"), Base.__table_args__)

    id: Mapped[str] = id_column()
    robot_id: Mapped[str] = _to("robots", "The robot.")
    robot_realm_id: Mapped[str] = _realm_of("robot")
    role_id: Mapped[str] = _to("roles", "The role.")
    role_realm_id: Mapped[str | None] = _realm_of("role")

    robot: Mapped[Robot] = relationship()
    role: Mapped[Role] = relationship()


class RobotPermission(Timestamps, Base):
    """A permission granted directly to a robot."""

    __tablename__ = "robot_permissions"
    __table_args__ = (sa.UniqueConstraint("robot_id", "permission_id"), Base.__table_args__)

    id: Mapped[str] = id_column()
    robot_id: Mapped[str] = _to("robots", "The robot.")
    robot_realm_id: Mapped[str] = _realm_of("robot")
    permission_id: Mapped[str] = _to("permissions", "The permission.")
    permission_realm_id: Mapped[str | None] = _realm_of("permission")
    policy_id: Mapped[str | None] = mapped_column(sa.String(36), doc="Always null.")

    robot: Mapped[Robot] = relationship()
    permission: Mapped[Permission] = relationship()


class LoginSession(Base):
    """A login with all tokens issued for it; ending the session revokes them all."""

    __tablename__ = "login_sessions"

    id: Mapped[str] = id_column()
    account_kind: Mapped[str] = mapped_column(sa.String(16))
    account_id: Mapped[str] = mapped_column(sa.String(36))
    generation: Mapped[int] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index("ix_login_sessions_account_id_expires_at", "account_id", "expires_at"),
        Base.__table_args__,
    )


class RefreshToken(Base):
    """A refresh token, stored as a hash; single use, with a grace period for concurrent refreshes."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(sa.ForeignKey("login_sessions.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    replaced_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    session: Mapped[LoginSession] = relationship()


class BrowserSession(Base):
    """The cookie of a person who has signed in to the web pages, stored as a hash beside its login session."""

    __tablename__ = "browser_sessions"

    token_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(sa.ForeignKey("login_sessions.id", ondelete="CASCADE"), index=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    address: Mapped[str | None] = mapped_column(sa.String(64))
    browser: Mapped[str | None] = mapped_column(sa.String(256))

    session: Mapped[LoginSession] = relationship(lazy="joined")


class SavedView(Base):
    """A filter of the page of Spaces that a person has given a name."""

    __tablename__ = "saved_views"

    user_id: Mapped[str] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    line: Mapped[str] = mapped_column(sa.String(500))


class HubCredential(Timestamps, Base):
    """The token with which a realm publishes to the Hub; write-only."""

    __tablename__ = "hub_credentials"

    realm_id: Mapped[str] = mapped_column(
        sa.ForeignKey("realms.id", ondelete="CASCADE"), primary_key=True, doc="Its realm."
    )
    encrypted_token: Mapped[str] = mapped_column("sealed_token", sa.Text, key="encrypted_token")
    key_id: Mapped[str] = mapped_column(sa.String(16), doc="Id of the key that encrypted the token.")
    account_name: Mapped[str] = mapped_column(sa.String(96), doc="Hub account of the token.")
    plan: Mapped[str] = mapped_column(sa.String(16), doc="free or pro.")
    role: Mapped[str] = mapped_column(sa.String(32), doc="Role of the token.")
    orgs: Mapped[list[dict[str, str]]] = mapped_column(
        JsonText, doc="Organizations of the account, with its role in each."
    )
    namespaces: Mapped[list[str]] = mapped_column(JsonText, doc="Namespaces the realm may publish to.")
    default_namespace: Mapped[str] = mapped_column(sa.String(96), doc="Namespace used if a request names none.")
    checked_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="When the token was last checked with the Hub, UTC.")


class PersonHubToken(Timestamps, Base):
    """The token with which a person who signed in at the Hub publishes there; write-only."""

    __tablename__ = "person_hub_tokens"

    user_id: Mapped[str] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    # The access token, the refresh token if there is one, and whose they are.
    encrypted_token: Mapped[str] = mapped_column(sa.Text)
    key_id: Mapped[str] = mapped_column(sa.String(16))
    account_name: Mapped[str] = mapped_column(sa.String(96))
    renewable: Mapped[bool] = mapped_column()
    # A new password of the person ends it, as it ends all sessions.
    generation: Mapped[int] = mapped_column()
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class GitCredential(Timestamps, Base):
    """Credentials with which a realm reads private git repositories of one host; write-only."""

    __tablename__ = "git_credentials"

    realm_id: Mapped[str] = mapped_column(
        sa.ForeignKey("realms.id", ondelete="CASCADE"), primary_key=True, doc="Its realm."
    )
    host: Mapped[str] = mapped_column(sa.String(255), primary_key=True, doc="Host name, with the port if unusual.")
    username: Mapped[str] = mapped_column(sa.String(255), doc="User name.")
    encrypted_password: Mapped[str] = mapped_column(sa.Text)
    key_id: Mapped[str] = mapped_column(sa.String(16), doc="Id of the key that encrypted the password.")


class AuditEntry(Base):
    """One change: actor, action, object, time and address; append-only."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, doc="Increasing number."
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True, doc="Time, UTC.")
    realm_id: Mapped[str | None] = mapped_column(sa.String(36), index=True, doc="Realm of the object.")
    actor_kind: Mapped[str] = mapped_column(sa.String(16), doc="user, robot or operator.")
    actor_id: Mapped[str | None] = mapped_column(sa.String(36), index=True, doc="Id of the actor.")
    actor_name: Mapped[str] = mapped_column(sa.String(64), doc="Name of the actor at that time.")
    actor_realm_id: Mapped[str | None] = mapped_column(sa.String(36), doc="Realm of the actor.")
    action: Mapped[str] = mapped_column(sa.String(32), doc="Action: create, update, delete …")
    object_type: Mapped[str] = mapped_column(sa.String(32), doc="Kind of the object.")
    object_id: Mapped[str | None] = mapped_column(sa.String(36), index=True, doc="Id of the object.")
    object_name: Mapped[str | None] = mapped_column(sa.String(128), doc="Name of the object at that time.")
    address: Mapped[str | None] = mapped_column(
        sa.String(64), doc="IP address of the caller; null: on the server itself."
    )
    details: Mapped[Any] = mapped_column(
        JsonText, default=dict, doc="Further details, such as names of changed fields; never secrets."
    )
