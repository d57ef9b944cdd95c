"""Base class of all kinds of account objects: listing, creating, updating and deleting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute

from assembler_runner.accounts import audit
from assembler_runner.accounts.models import Realm
from assembler_runner.accounts.permissions import OPERATOR, Account, has_manager
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, NotFound


class Taken(Conflict):
    """An object with that name already exists."""

    code = "name_taken"
    default_message = "This name already exists in the realm."
    default_hint = "Choose another name."


class BuiltIn(Conflict):
    """The object is built in."""

    code = "built_in"
    default_message = "Built-in objects cannot be changed."
    default_hint = "Create one of your own."


class Kind:
    """One kind of object with the checks before changes; the base class implements the rules common to all kinds.

    `realm_key` names the column with the realm of a row. If `shared`, rows without a realm are allowed: visible to all,
    changed only by those who manage all realms. The four `may_…` attributes name the required permissions.
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
        """The column with the realm of a row."""
        column: InstrumentedAttribute[Any] = getattr(self.model, self.realm_key)
        return column

    def query(self, account: Account) -> sa.Select[Any]:
        """Returns the query for all rows visible to an account."""
        seen = account.visible(self.realm)
        return sa.select(self.model).where(sa.or_(seen, self.realm.is_(None)) if self.shared else seen)

    def find(self, account: Account, row_id: str) -> Any:
        """Returns one row.

        Raises:
            NotFound: no row with that id is visible to this account.
        """
        row = db.session.scalar(self.query(account).where(self.model.id == row_id))
        if row is None:
            raise NotFound(f"There is no {self.name} with this id.")
        return row

    def create(self, account: Account, values: Mapping[str, Any]) -> Any:
        """Creates a row.

        Raises:
            InvalidRequest: a value refers to an object that does not exist.
            Forbidden: the change requires permissions the caller lacks.
            Taken: the name already exists.
        """
        row = self.model(**self.checked(account, dict(values), None))
        db.session.add(row)
        self._flush()
        self.created(account, row, values)
        self._record(account, "create", row, fields=sorted(values))
        db.session.commit()
        return row

    def update(self, account: Account, row_id: str, values: Mapping[str, Any]) -> Any:
        """Changes the given fields of a row.

        Raises:
            NotFound: no row with that id is visible to this account.
            InvalidRequest: a value refers to an object that does not exist.
            Forbidden: the change requires permissions the caller lacks.
            Conflict: the row is built in, its name is taken, or no account could manage the service any more.
        """
        row = self.find(account, row_id)
        self.check_change(account, row)
        for field, value in self.checked(account, dict(values), row).items():
            setattr(row, field, value)
        self._flush()
        self._require_manager(account)
        self._record(account, "update", row, fields=sorted(values))
        db.session.commit()
        return row

    def delete(self, account: Account, row_id: str) -> Any:
        """Deletes a row.

        Returns:
            The row as it was.
        Raises:
            NotFound: no row with that id is visible to this account.
            Forbidden: the change requires permissions the caller lacks.
            Conflict: the row is built in or in use.
        """
        row = self.find(account, row_id)
        self.check_change(account, row)
        self._record(account, "delete", row)
        self.before_delete(row)
        db.session.delete(row)
        self._flush()
        self._require_manager(account)
        db.session.commit()
        return row

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """Checks the values and returns the columns to write.

        Args:
            account: the caller.
            values: the requested values.
            row: the existing row; None for a new one.
        """
        return values

    def check_change(self, account: Account, row: Any) -> None:
        """Checks that the caller may change or delete this row."""
        if self.shared and getattr(row, self.realm_key) is None and not account.everywhere:
            account.require_permissions(["realm_manage"])
        if getattr(row, "built_in", False):
            raise BuiltIn

    def created(self, account: Account, row: Any, values: Mapping[str, Any]) -> None:
        """Hook after a row was created.

        Args:
            account: who is calling.
            row: the new row.
            values: the values of the request.
        """

    def before_delete(self, row: Any) -> None:
        """Hook before a row is deleted: removes dependent rows that are not deleted by a cascade."""

    def _realm_id(self, account: Account, values: dict[str, Any], row: Any) -> str | None:
        """Returns the realm of a row: the caller's realm unless another one is named; it never changes."""
        if row is not None:
            given, current = values.get("realm_id", row.realm_id), row.realm_id
            if given != current:
                message = f"A {self.name} cannot change its realm."
                raise refusal("immutable", message, "realm_id", "Leave it out, or create a new one in the other realm.")
            return str(current) if current else None
        given = values.get("realm_id")
        if given is None:
            return None if self.shared and account.everywhere and "realm_id" in values else account.realm_id
        if not account.sees(given) or db.session.get(Realm, given) is None:
            raise refusal("unknown_realm", "There is no realm with this id.", "realm_id", "See GET /auth/realms.")
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

    def _require_manager(self, account: Account) -> None:
        # The operator on the server can repair this, and must be able to change an already broken state.
        if account.kind != OPERATOR and not has_manager():
            db.session.rollback()
            raise Conflict(
                "No account could manage the service any more.",
                hint="Grant the role admin to another active user of the realm master first.",
            )


def refusal(code: str, message: str, field: str, hint: str) -> InvalidRequest:
    """Returns an error with one finding for a field."""
    return InvalidRequest(issues=[Finding(code, message, path=field, hint=hint)])
