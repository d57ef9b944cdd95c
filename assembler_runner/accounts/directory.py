"""Realms, users, robots, roles and permissions, with common code to list, create, update and delete them.

Each kind of object is a class that defines the realm of a row and its checks. Objects of realms the caller cannot see
do not exist for it; accounts can only change accounts with no more permissions, and only grant permissions they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.auth import is_password_of
from assembler_runner.accounts.models import AuditEntry, LoginSession, Permission, Realm, Robot, Role, User
from assembler_runner.accounts.passwords import hash_password, new_secret
from assembler_runner.accounts.permissions import Account, built_in_id, grant_role, permissions_of, permissions_of_role
from assembler_runner.accounts.resources import BuiltIn, Kind, Taken, refusal
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, NotFound
from assembler_runner.core.settings import current_settings
from assembler_runner.files.models import Bucket, BucketFile
from assembler_runner.spaces.models import IdempotencyKey, Space, SpaceRequest


class Realms(Kind):
    """Tenants."""

    name, model, realm_key = "realm", Realm, "id"
    may_read, may_create, may_update, may_delete = "realm_read", "realm_manage", "realm_update", "realm_manage"
    _managed = frozenset({"share_default_hub", "max_spaces", "max_requests_per_hour", "max_bytes"})

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: quotas and the shared Hub token are set only by those who manage all realms."""
        if self._managed & values.keys():
            account.require_permissions(["realm_manage"])
        if row is not None and row.built_in and values.get("name", row.name) != row.name:
            raise BuiltIn(f"The realm {row.name} cannot be renamed.")
        if "name" in values:
            self._check_name(values["name"], row)
        return values

    def _check_name(self, name: str, row: Any) -> None:
        # Not left to the database: they differ in what they take for equal.
        others = sa.select(Realm.name).where(Realm.id != (row.id if row is not None else ""))
        if name.casefold() in {other.casefold() for other in db.session.scalars(others)}:
            raise Taken("There is a realm of this name already; upper and lower case make no difference.")

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`; a built-in realm can be changed, but not deleted."""

    def before_delete(self, row: Any) -> None:
        """See :meth:`Kind.before_delete`: deletes its accounts; its Spaces must be deleted before."""
        if row.built_in:
            raise BuiltIn
        if db.session.scalar(sa.select(Space.id).where(Space.realm_id == row.id, Space.slot.is_not(None)).limit(1)):
            raise Conflict("The realm has Spaces.", hint="Delete its Spaces first.")
        if db.session.scalar(sa.select(BucketFile.id).where(BucketFile.realm_id == row.id).limit(1)):
            raise Conflict("The realm has files in buckets.", hint="Delete its buckets first.")
        accounts = sa.union_all(*(sa.select(model.id).where(model.realm_id == row.id) for model in (User, Robot)))
        for keyed in (IdempotencyKey, LoginSession):
            db.session.execute(sa.delete(keyed).where(keyed.account_id.in_(accounts)))
        for owned in (SpaceRequest, Space, Bucket, Robot, User, Role, Permission):
            db.session.execute(sa.delete(owned).where(owned.realm_id == row.id))


class _Accounts(Kind):
    """Common base of users and robots."""

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`: the account must not have more permissions than the caller."""
        super().check_change(account, row)
        account.require_permissions(permissions_of(row))

    def created(self, account: Account, row: Any, values: Mapping[str, Any]) -> None:
        """See :meth:`Kind.created`: a new account gets the roles named, else the default role."""
        if values.get("roles") is not None:
            for asked in self._roles(row, values["roles"]):
                account.require_permissions(permissions_of_role(asked.id))
                grant_role(row, asked)
            return
        name = current_settings().DEFAULT_ROLE
        role = db.session.get(Role, built_in_id("role", name)) if name else None
        if role is not None and permissions_of_role(role.id) <= account.permissions:
            grant_role(row, role)

    def _take_roles(self, values: dict[str, Any], row: Any) -> None:
        if values.pop("roles", None) is not None and row is not None:
            hint = "Change the roles of an account with POST and DELETE /auth/user-roles or /auth/robot-roles."
            raise refusal("immutable", "Roles are taken when the account is made.", "roles", hint)

    def _roles(self, row: Any, wanted: list[str]) -> list[Role]:
        """Returns the roles of these names or ids: built-in ones, and those of the account's realm."""
        found: dict[str, Role] = {}
        findings = []
        usable = sa.or_(Role.realm_id.is_(None), Role.realm_id == row.realm_id)
        for number, name in enumerate(dict.fromkeys(wanted)):
            role = db.session.scalar(sa.select(Role).where(usable, sa.or_(Role.id == name, Role.name == name)))
            if role is None:
                message = f"There is no role {name[:80]!r} for this realm."
                findings.append(Finding("unknown_role", message, path=f"roles.{number}", hint="See GET /auth/roles."))
            else:
                found[role.id] = role
        if findings:
            db.session.rollback()
            raise InvalidRequest(issues=findings)
        return list(found.values())

    def before_delete(self, row: Any) -> None:
        """See :meth:`Kind.before_delete`."""
        db.session.execute(sa.delete(LoginSession).where(LoginSession.account_id == row.id))


class Users(_Accounts):
    """People."""

    name, model = "user", User
    may_read, may_create, may_update, may_delete = "user_read", "user_manage", "user_manage", "user_manage"

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: a new password revokes all tokens."""
        self._take_roles(values, row)
        values["realm_id"] = self._realm_id(account, values, row)
        if "password" in values:
            password = values.pop("password")
            values["password_hash"] = None if password is None else hash_password(password)
            values["token_generation"] = (row.token_generation if row else 0) + 1
        return values

    def update_self(self, account: Account, values: Mapping[str, Any]) -> User:
        """Changes the fields that users may change of their own account.

        Raises:
            NotFound: the caller is not a user.
            InvalidRequest: the current password is wrong.
        """
        row = db.session.get(User, account.id)
        if row is None:
            raise NotFound("This account is not a user.")
        changed = {name: value for name, value in values.items() if name != "current_password"}
        if "password" in changed and not is_password_of(row, values.get("current_password", "")):
            hint = "Send your current password."
            raise refusal("wrong_password", "The current password is wrong.", "current_password", hint)
        for field, value in self.checked(account, dict(changed), row).items():
            setattr(row, field, value)
        self._record(account, "update", row, fields=sorted(changed))
        db.session.commit()
        return row


class Robots(_Accounts):
    """Machines; the same ones are OAuth 2 clients."""

    name, model = "robot", Robot
    may_read, may_create, may_update, may_delete = "robot_read", "robot_manage", "robot_manage", "robot_manage"

    def create(self, account: Account, values: Mapping[str, Any]) -> Any:
        """See :meth:`Kind.create`; without a secret, one is generated and returned once in `row.secret`."""
        return super().create(account, {"secret": None, **values})

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: a new secret revokes all tokens."""
        self._take_roles(values, row)
        values["realm_id"] = self._realm_id(account, values, row)
        user = db.session.get(User, values["user_id"]) if values.get("user_id") else None
        if values.get("user_id") and (user is None or user.realm_id != values["realm_id"]):
            raise refusal(
                "unknown_user", "There is no user with this id in the realm.", "user_id", "See GET /auth/users."
            )
        if "secret" in values:
            secret = values.pop("secret")
            shown, hashed = (None, hash_password(secret)) if secret is not None else new_secret()
            values |= {"secret_hash": hashed, "secret": shown}
            values["token_generation"] = (row.token_generation if row else 0) + 1
        return values


class _Named(Kind):
    """Common base of roles and permissions."""

    shared = True
    may_read, may_create, may_update, may_delete = "role_read", "role_manage", "role_manage", "role_manage"

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: a name shared by all realms must not occur in any realm."""
        values["realm_id"] = self._realm_id(account, values, row)
        self._check_name(values, row)
        return values

    def _check_name(self, values: dict[str, Any], row: Any) -> None:
        name = values.get("name", row.name if row else None)
        same = sa.select(self.model.id).where(self.model.name == name, self.model.id != (row.id if row else ""))
        realm_id = values["realm_id"]
        clash = (
            self.model.realm_id.is_(None)
            if realm_id is None
            else sa.or_(self.model.realm_id.is_(None), self.model.realm_id == realm_id)
        )
        if db.session.scalar(same.where(clash).limit(1)):
            raise Taken(f"A {self.name} with this name already exists.")


class Roles(_Named):
    """Named sets of permissions."""

    name, model = "role", Role

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`: the role must not have more permissions than the caller."""
        super().check_change(account, row)
        account.require_permissions(permissions_of_role(row.id))


class Permissions(_Named):
    """Permissions; those created by callers are only stored, and grant nothing in this service."""

    name, model = "permission", Permission


class AuditLog(Kind):
    """The audit log; read-only."""

    name, model = "audit_entry", AuditEntry
    may_read = "audit_read"
