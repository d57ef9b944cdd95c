"""The apps of local Spaces: what is wanted, written by the target, and what is, written by the supervisor.

The database has the wanted state of every app; the supervisor of this machine makes it so and writes down what became
of it. Each call is a transaction of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.core.database import READ_ONLY, Base, JsonText, database_now, new_id
from assembler_runner.core.vault import Vault

RUN, PAUSE = "running", "paused"
MOST_TRIES = 3
_LABEL = 63


class LocalApp(Base):
    """The app of one local Space."""

    __tablename__ = "apps"

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    # Namespace and name, folded: upper and lower case make no second Space.
    place: Mapped[str] = mapped_column(sa.String(200), unique=True)
    namespace: Mapped[str] = mapped_column(sa.String(96))
    name: Mapped[str] = mapped_column(sa.String(96))
    # The first label of its host name.
    host: Mapped[str] = mapped_column(sa.String(_LABEL), unique=True)
    visibility: Mapped[str] = mapped_column(sa.String(16))
    hardware: Mapped[str | None] = mapped_column(sa.String(32))
    sleep_time: Mapped[int | None]
    # What is wanted: running or paused, which commit; the generation grows with everything that needs a new start.
    desired: Mapped[str] = mapped_column(sa.String(16), default=RUN)
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    generation: Mapped[int] = mapped_column(default=0)
    fresh: Mapped[bool] = mapped_column(default=False)
    # What is: the stage in the Hub's words, the commit and the generation that it belongs to, why it failed.
    stage: Mapped[str] = mapped_column(sa.String(32), default="BUILDING")
    stage_oid: Mapped[str | None] = mapped_column(sa.String(64))
    stage_generation: Mapped[int] = mapped_column(default=0)
    message: Mapped[str | None] = mapped_column(sa.Text)
    exit_code: Mapped[int | None]
    # The installed packages with their versions.
    resolved: Mapped[Any] = mapped_column(JsonText, nullable=True)
    # `base_path` and `custom_headers` of its README.md.
    page: Mapped[Any] = mapped_column(JsonText, nullable=True)
    used_at: Mapped[float | None] = mapped_column(sa.Double)
    changed_at: Mapped[float] = mapped_column(sa.Double)


class AppSecret(Base):
    """One secret of an app."""

    __tablename__ = "app_secrets"

    app_id: Mapped[str] = mapped_column(sa.ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    encrypted: Mapped[str] = mapped_column("sealed", JsonText, key="encrypted")


APPS: Any = LocalApp.__table__
SECRETS: Any = AppSecret.__table__


class LocalApps:
    """The table.

    Args:
        engine: returns the database engine.
        vault: encrypts the secrets.
        wake: called after a change, so that the supervisor need not wait for its next round.
    """

    def __init__(self, engine: Callable[[], sa.Engine], vault: Vault, wake: Callable[[], None] = lambda: None) -> None:
        self._engine, self._vault, self._wake = engine, vault, wake

    def create(self, namespace: str, name: str, visibility: str, **values: Any) -> None:
        """Adds an app, unless there is one of that name.

        Args:
            namespace: namespace of the Space.
            name: its name.
            visibility: `public`, `private` or `protected`.
            values: further columns.
        """
        for number in range(MOST_TRIES):
            if self.find(namespace, name) is not None:
                return
            row = {
                "id": new_id(),
                "place": place_of(namespace, name),
                "namespace": namespace,
                "name": name,
                "host": host_label(namespace, name, number > 0),
                "visibility": visibility,
                "desired": RUN,
                "generation": 0,
                "fresh": False,
                "stage": "BUILDING",
                "stage_generation": 0,
                "changed_at": database_now(),
            }
            try:
                with self._engine().begin() as connection:
                    connection.execute(sa.insert(APPS).values(**row | values))
            except IntegrityError:
                # The label of the host is taken by another Space, or the app was added meanwhile.
                continue
            return

    def find(self, namespace: str, name: str) -> sa.Row[Any] | None:
        """Returns the app of a Space; None if it has none."""
        with self._reading() as connection:
            return connection.execute(sa.select(APPS).where(APPS.c.place == place_of(namespace, name))).first()

    def all(self) -> list[sa.Row[Any]]:
        """Returns all apps, without the packages that were installed for them."""
        # Read every two seconds: the lists of packages are most of it.
        with self._reading() as connection:
            return list(connection.execute(sa.select(*(column for column in APPS.c if column is not APPS.c.resolved))))

    def labels(self, places: Collection[str]) -> dict[str, str]:
        """Returns the first label of the host name of apps that run or may run, by the place of their Space.

        Args:
            places: the places of some Spaces.
        """
        query = sa.select(APPS.c.place, APPS.c.host).where(
            APPS.c.place.in_(places), APPS.c.stage != "STORED", APPS.c.commit_oid.is_not(None)
        )
        with self._reading() as connection:
            return {row.place: row.host for row in connection.execute(query)}

    def _reading(self) -> sa.Connection:
        return self._engine().connect().execution_options(**{READ_ONLY: True})

    def change(self, namespace: str, name: str, *, starts: bool = True, **values: Any) -> bool:
        """Changes what is wanted.

        Args:
            namespace: namespace of the Space.
            name: its name.
            starts: whether the app has to be started anew.
            values: columns to set.
        Returns:
            Whether the Space has an app.
        """
        if starts:
            values |= {"generation": APPS.c.generation + 1}
        changed = sa.update(APPS).where(APPS.c.place == place_of(namespace, name)).values(**values)
        with self._engine().begin() as connection:
            found = bool(connection.execute(changed).rowcount)
        self._wake()
        return found

    def report(self, app_id: str, **values: Any) -> None:
        """Writes down what became of an app.

        Args:
            app_id: the app.
            values: columns to set.
        """
        changed = sa.update(APPS).where(APPS.c.id == app_id).values(changed_at=database_now(), **values)
        with self._engine().begin() as connection:
            connection.execute(changed)

    def remove(self, namespace: str, name: str) -> None:
        """Removes the app of a Space with its secrets; the supervisor ends it and removes its files."""
        with self._engine().begin() as connection:
            ids = sa.select(APPS.c.id).where(APPS.c.place == place_of(namespace, name))
            app_id = connection.execute(ids).scalar()
            # SQLite follows foreign keys only where a setting says so.
            connection.execute(sa.delete(SECRETS).where(SECRETS.c.app_id == app_id))
            connection.execute(sa.delete(APPS).where(APPS.c.id == app_id))
        self._wake()

    def rename(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        """Gives an app the new names of its Space, and with them a new host name.

        Args:
            old: namespace and name.
            new: namespace and name.
        """
        for number in range(MOST_TRIES):
            names = {"place": place_of(*new), "namespace": new[0], "name": new[1]}
            values = {**names, "host": host_label(*new, number > 0), "generation": APPS.c.generation + 1}
            try:
                with self._engine().begin() as connection:
                    connection.execute(sa.update(APPS).where(APPS.c.place == place_of(*old)).values(**values))
            except IntegrityError:
                continue
            self._wake()
            return

    def set_secret(self, namespace: str, name: str, key: str, value: str | None) -> None:
        """Sets or, with None, removes a secret; the app is started anew."""
        row = self.find(namespace, name)
        if row is None:
            return
        self._write_secrets(row.id, {key: value})
        self.change(namespace, name)

    def add_secrets(self, namespace: str, name: str, secrets: Mapping[str, str]) -> None:
        """Sets the secrets of a new app."""
        row = self.find(namespace, name)
        if row is not None and secrets:
            self._write_secrets(row.id, secrets)

    def _write_secrets(self, app_id: str, secrets: Mapping[str, str | None]) -> None:
        with self._engine().begin() as connection:
            connection.execute(sa.delete(SECRETS).where(SECRETS.c.app_id == app_id, SECRETS.c.name.in_(list(secrets))))
            rows = [
                {"app_id": app_id, "name": key, "encrypted": self._vault.encrypt({"app": app_id, "value": value})}
                for key, value in secrets.items()
                if value is not None
            ]
            if rows:
                connection.execute(sa.insert(SECRETS), rows)

    def secrets(self, app_id: str) -> dict[str, str]:
        """Returns the secrets of an app.

        Raises:
            UnreadableSecret: a secret was encrypted with a key that is no longer known.
        """
        with self._reading() as connection:
            rows = connection.execute(sa.select(SECRETS.c.name, SECRETS.c.encrypted).where(SECRETS.c.app_id == app_id))
            stored = list(rows)
        opened = {name: self._vault.decrypt(encrypted) for name, encrypted in stored}
        return {name: values["value"] for name, values in opened.items() if values["app"] == app_id}


def place_of(namespace: str, name: str) -> str:
    """Returns the key of a Space, equal for names that differ only in case."""
    return f"{namespace}/{name}".casefold()


def host_label(namespace: str, name: str, distinct: bool = False) -> str:
    """Returns the first label of an app's host name.

    Args:
        namespace: namespace of the Space.
        name: its name.
        distinct: whether the plain label is taken by another Space.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", f"{namespace}-{name}".lower()).strip("-")
    if plain and not distinct and len(plain) <= _LABEL:
        return plain
    digest = hashlib.sha256(place_of(namespace, name).encode()).hexdigest()[:8]
    return f"{plain[: _LABEL - 9].strip('-') or 'app'}-{digest}"
