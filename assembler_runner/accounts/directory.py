"""Accounts: realms, users, robots, roles and permissions, found, made, changed and deleted by one machinery.

Each kind of object is one class that says which realm a row belongs to and what has to be checked. Objects of a realm
that the caller does not see are not there; nobody changes an account that holds more, or grants what it does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute

from assembler_runner.accounts import audit
from assembler_runner.accounts.auth import hash_password, is_password_of, new_secret
from assembler_runner.accounts.models import AuditEntry, LoginSession, Permission, Realm, Robot, Role, User
from assembler_runner.accounts.permissions import (
    OPERATOR,
    Account,
    built_in_id,
    grant_role,
    permissions_of,
    permissions_of_role,
    somebody_manages,
)
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, NotFound
from assembler_runner.core.settings import current_settings
from assembler_runner.files.bucket_models import Bucket, BucketFile
from assembler_runner.spaces.models import IdempotencyKey, Space, SpaceRequest


class Taken(Conflict):
    """There is one of that name already."""

    code = "name_taken"
    default_message = "There is one of this name already in the realm."
    default_hint = "Choose another name."


class BuiltIn(Conflict):
    """It came with the service."""

    code = "built_in"
    default_message = "This came with the service and stays as it is."
    default_hint = "Make one of your own."


class Kind:
    """One kind of object and what is checked before it changes; the base knows what holds for all.

    `realm_key` names the column that says whose a row is; a row without one is `shared`: all see it, and only those who
    manage all realms change it. The four permissions are what a caller needs for each kind of access.
    """

    name: str
    model: type[Any]
    realm_key: str = "realm_id"
    shared: bool = False
    may_read: str
    may_create: str
    may_update: str
    may_delete: str

    @property
    def realm(self) -> InstrumentedAttribute[Any]:
        """The column that says whose a row is."""
        column: InstrumentedAttribute[Any] = getattr(self.model, self.realm_key)
        return column

    def query(self, account: Account) -> sa.Select[Any]:
        """Returns all rows that exist for an account."""
        seen = account.visible(self.realm)
        return sa.select(self.model).where(sa.or_(seen, self.realm.is_(None)) if self.shared else seen)

    def find(self, account: Account, row_id: str) -> Any:
        """Returns one row.

        Raises:
            NotFound: there is none of that id for this account.
        """
        row = db.session.scalar(self.query(account).where(self.model.id == row_id))
        if row is None:
            raise NotFound(f"There is no {self.name} of this id.")
        return row

    def create(self, account: Account, values: Mapping[str, Any]) -> Any:
        """Makes a row.

        Raises:
            InvalidRequest: it names what is not there.
            Forbidden: it would reach above the caller.
            Taken: there is one of that name.
        """
        row = self.model(**self.checked(account, dict(values), None))
        db.session.add(row)
        self._flush()
        self.created(account, row)
        self._record(account, "create", row, fields=sorted(values))
        db.session.commit()
        return row

    def update(self, account: Account, row_id: str, values: Mapping[str, Any]) -> Any:
        """Changes the given fields of a row.

        Raises:
            NotFound: there is none of that id for this account.
            InvalidRequest: it names what is not there.
            Forbidden: it reaches above the caller.
            Conflict: the row is built in, its name is taken, or nobody could manage the service any more.
        """
        row = self.find(account, row_id)
        self.check_change(account, row)
        for field, value in self.checked(account, dict(values), row).items():
            setattr(row, field, value)
        self._flush()
        self._keep_somebody(account)
        self._record(account, "update", row, fields=sorted(values))
        db.session.commit()
        return row

    def delete(self, account: Account, row_id: str) -> Any:
        """Deletes a row.

        Returns:
            The row as it was.
        Raises:
            NotFound: there is none of that id for this account.
            Forbidden: it reaches above the caller.
            Conflict: the row is built in or needed.
        """
        row = self.find(account, row_id)
        self.check_change(account, row)
        self._record(account, "delete", row)
        self.before_delete(row)
        db.session.delete(row)
        self._flush()
        self._keep_somebody(account)
        db.session.commit()
        return row

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """Returns the columns to write.

        Args:
            account: who is calling.
            values: what was asked for.
            row: the present row; None for a new one.
        """
        return values

    def check_change(self, account: Account, row: Any) -> None:
        """Checks that the caller may change or delete this row."""
        if self.shared and getattr(row, self.realm_key) is None and not account.everywhere:
            account.must_hold(["realm_manage"])
        if getattr(row, "built_in", False):
            raise BuiltIn

    def created(self, account: Account, row: Any) -> None:
        """Does what belongs to making a row."""

    def before_delete(self, row: Any) -> None:
        """Removes what hangs on a row and does not go by itself."""

    def _realm_id(self, account: Account, values: dict[str, Any], row: Any) -> str | None:
        """Returns the realm of a row: the caller's own unless another one is named; it never changes."""
        if row is not None:
            given, present = values.get("realm_id", row.realm_id), row.realm_id
            if given != present:
                message = f"A {self.name} stays in its realm."
                raise refusal("immutable", message, "realm_id", "Leave it out, or make a new one in the other realm.")
            return str(present) if present else None
        given = values.get("realm_id")
        if given is None:
            return None if self.shared and account.everywhere and "realm_id" in values else account.realm_id
        if not account.sees(given) or db.session.get(Realm, given) is None:
            raise refusal("unknown_realm", "There is no realm of this id.", "realm_id", "See GET /auth/realms.")
        return str(given)

    def _record(self, account: Account, action: str, row: Any, **details: Any) -> None:
        name, realm_id = getattr(row, "name", None), getattr(row, self.realm_key)
        audit.record(account, action, self.name, row.id, name, realm_id, **details)

    def _flush(self) -> None:
        try:
            db.session.flush()
        except IntegrityError:
            db.session.rollback()
            raise Taken from None

    def _keep_somebody(self, account: Account) -> None:
        # On the server itself it can be put right again, and what is wrong already must be changeable there.
        if account.kind != OPERATOR and not somebody_manages():
            db.session.rollback()
            raise Conflict(
                "Nobody could manage the service any more.",
                hint="Give the role admin to another active user of the realm master first.",
            )


class Realms(Kind):
    """Tenants."""

    name, model, realm_key = "realm", Realm, "id"
    may_read, may_create, may_update, may_delete = "realm_read", "realm_manage", "realm_update", "realm_manage"
    _managed = frozenset({"share_default_hub", "max_spaces", "max_requests_per_hour", "max_bytes"})

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: what costs the operator is set by those who manage all realms."""
        if self._managed & values.keys():
            account.must_hold(["realm_manage"])
        if row is not None and row.built_in and values.get("name", row.name) != row.name:
            raise BuiltIn(f"The realm {row.name} keeps its name.")
        return values

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`; a built-in realm can be changed, but not deleted."""

    def before_delete(self, row: Any) -> None:
        """See :meth:`Kind.before_delete`: its accounts go with it; its Spaces have to be gone."""
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
    """What users and robots have in common."""

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`: nobody changes an account that holds more."""
        super().check_change(account, row)
        account.must_hold(permissions_of(row))

    def created(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.created`: a new account gets the usual role, if the caller could grant it."""
        name = current_settings().DEFAULT_ROLE
        role = db.session.get(Role, built_in_id("role", name)) if name else None
        if role is not None and permissions_of_role(role.id) <= account.permissions:
            grant_role(row, role)

    def before_delete(self, row: Any) -> None:
        """See :meth:`Kind.before_delete`."""
        db.session.execute(sa.delete(LoginSession).where(LoginSession.account_id == row.id))


class Users(_Accounts):
    """People."""

    name, model = "user", User
    may_read, may_create, may_update, may_delete = "user_read", "user_manage", "user_manage", "user_manage"

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: a new password ends all tokens."""
        values["realm_id"] = self._realm_id(account, values, row)
        if "password" in values:
            password = values.pop("password")
            values["password_hash"] = None if password is None else hash_password(password)
            values["token_generation"] = (row.token_generation if row else 0) + 1
        return values

    def update_self(self, account: Account, values: Mapping[str, Any]) -> User:
        """Changes what users may change of themselves.

        Raises:
            NotFound: the caller is no user.
            InvalidRequest: the present password is wrong.
        """
        row = db.session.get(User, account.id)
        if row is None:
            raise NotFound("This account is no user.")
        changed = {name: value for name, value in values.items() if name != "current_password"}
        if "password" in changed and not is_password_of(row, values.get("current_password", "")):
            hint = "Give the password you have now."
            raise refusal("wrong_password", "The present password is not right.", "current_password", hint)
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
        """See :meth:`Kind.create`; without a secret one is made, and shown in `row.secret` this once."""
        return super().create(account, {"secret": None, **values})

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: a new secret ends all tokens."""
        values["realm_id"] = self._realm_id(account, values, row)
        user = db.session.get(User, values["user_id"]) if values.get("user_id") else None
        if values.get("user_id") and (user is None or user.realm_id != values["realm_id"]):
            raise refusal(
                "unknown_user", "There is no user of this id in the realm.", "user_id", "See GET /auth/users."
            )
        if "secret" in values:
            secret = values.pop("secret")
            shown, hashed = (None, hash_password(secret)) if secret is not None else new_secret()
            values |= {"secret_hash": hashed, "secret": shown}
            values["token_generation"] = (row.token_generation if row else 0) + 1
        return values


class _Named(Kind):
    """What roles and permissions have in common."""

    shared = True
    may_read, may_create, may_update, may_delete = "role_read", "role_manage", "role_manage", "role_manage"

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: names of all realms stay clear of those of one."""
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
            raise Taken(f"There is a {self.name} of this name already.")


class Roles(_Named):
    """Named sets of permissions."""

    name, model = "role", Role

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`: nobody changes a role that holds more."""
        super().check_change(account, row)
        account.must_hold(permissions_of_role(row.id))


class Permissions(_Named):
    """Rights; those that a caller makes are kept for others to read, and open nothing here."""

    name, model = "permission", Permission


class AuditLog(Kind):
    """Who changed what; only read."""

    name, model = "audit_entry", AuditEntry
    may_read = "audit_read"


def refusal(code: str, message: str, field: str, hint: str) -> InvalidRequest:
    """Returns the error for one field."""
    return InvalidRequest(issues=[Finding(code, message, path=field, hint=hint)])
