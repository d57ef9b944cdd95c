"""What all kinds of accounts have in common: how they are listed, created, changed and deleted."""

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
        self.created(account, row, values)
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
        self._require_manager(account)
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
        self._require_manager(account)
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
            account.require_permissions(["realm_manage"])
        if getattr(row, "built_in", False):
            raise BuiltIn

    def created(self, account: Account, row: Any, values: Mapping[str, Any]) -> None:
        """Does what belongs to making a row.

        Args:
            account: who is calling.
            row: the new row.
            values: what was asked for.
        """

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

    def _require_manager(self, account: Account) -> None:
        # On the server itself it can be put right again, and what is wrong already must be changeable there.
        if account.kind != OPERATOR and not has_manager():
            db.session.rollback()
            raise Conflict(
                "Nobody could manage the service any more.",
                hint="Give the role admin to another active user of the realm master first.",
            )


def refusal(code: str, message: str, field: str, hint: str) -> InvalidRequest:
    """Returns the error for one field."""
    return InvalidRequest(issues=[Finding(code, message, path=field, hint=hint)])
