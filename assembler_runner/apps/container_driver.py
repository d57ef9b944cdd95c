"""Apps as containers of an engine: Docker or Podman."""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from assembler_runner.apps.base import TRIAL_PREFIX, Left, Order
from assembler_runner.apps.container import APP, ROLE, SOCKET_NAME, Box, ContainerApp, start_containers
from assembler_runner.apps.engine import Engine, EngineError
from assembler_runner.apps.image_build import build_arguments, build_image, image_key
from assembler_runner.apps.image_plan import ImagePlan, plan_image
from assembler_runner.apps.log_file import LogFile
from assembler_runner.apps.process import app_variables
from assembler_runner.assembly.made_dockerfile import PYTHON_IMAGE
from assembler_runner.core.settings import Settings
from assembler_runner.files.tree import SpaceFile
from assembler_runner.targets.local.app_files import AppFiles

INSTANCE, ID, REALM, GENERATION, COMMIT, PLACE = (
    f"assembler.{name}" for name in ("instance", "app", "realm", "generation", "commit", "place")
)
_PORT, _PREFIX, _KEEPS_PREFIX = (f"assembler.{name}" for name in ("port", "prefix", "keeps-prefix"))
BRIDGE_IMAGE = PYTHON_IMAGE.format(version="3.12")
_OUTSIDE_NETWORK, _NO_NETWORK = "bridge", "none"
_TRIAL_SECONDS = 3600.0
OUTGOING_FOLDER = "outgoing"
"""Folder of the socket of the proxy for the calls of apps, beside those of the apps."""


class ContainerDriver:
    """See :class:`Driver`.

    Args:
        settings: the limits.
        engine: the engine.
        files: where the files of apps are.
    """

    def __init__(self, settings: Settings, engine: Engine, files: AppFiles) -> None:
        self.settings, self.engine, self.files = settings, engine, files
        self.instance = _instance_id(files.root)

    def sockets(self, folder: Path) -> Path:
        """See :meth:`Driver.sockets`: below the instance folder, which the engine sees, through a short link."""
        self.files.sockets.mkdir(parents=True, exist_ok=True)
        link = folder / "s"
        if not link.is_symlink():
            link.symlink_to(self.files.sockets.resolve())
        return link

    def prepare(self, order: Order, tree: Mapping[str, SpaceFile]) -> ContainerWork:
        """See :meth:`Driver.prepare`."""
        return ContainerWork(self, order, tree, plan_image(tree, self.settings.APPS_START_TIMEOUT))

    def take_over(self, sockets: Path) -> list[Left]:
        """See :meth:`Driver.take_over`."""
        found: dict[str, Left] = {}
        kept: set[str] = set()
        all_of_them = self.engine.containers(f"{INSTANCE}={self.instance}")
        bridges = {row["Labels"].get(PLACE): row["Id"] for row in all_of_them if row["Labels"].get(ROLE) != APP}
        apps = [row for row in all_of_them if row["Labels"].get(ROLE) == APP and row["State"] == "running"]
        for row in sorted(apps, key=lambda row: int(row["Labels"][GENERATION]), reverse=True):
            marks = row["Labels"]
            place = marks[PLACE]
            if marks[ID] in found or place not in bridges or _is_trial(marks[ID]):
                continue
            left = self._left(row, bridges[place], sockets / place / SOCKET_NAME)
            if left is not None:
                found[marks[ID]] = left
                kept.add(place)
        # Podman removes no container whose network another one still uses.
        for row in sorted(all_of_them, key=lambda row: bool(row["Labels"].get(ROLE) == APP)):
            marks = row["Labels"]
            recent = _is_trial(marks[ID]) and time.time() - float(row["Created"]) < _TRIAL_SECONDS
            if recent:
                kept.add(marks[PLACE])
            elif marks[PLACE] not in kept:
                with suppress(EngineError):
                    self.engine.remove(row["Id"])
        for left_folder in self.files.sockets.iterdir():
            if left_folder.name not in kept | {OUTGOING_FOLDER}:
                shutil.rmtree(left_folder, ignore_errors=True)
        return list(found.values())

    def _left(self, row: Mapping[str, Any], bridge: str, socket: Path) -> Left | None:
        marks = row["Labels"]
        path = self.files.log(marks[ID], "run")
        since = _last_time(path)
        log = LogFile(path, keeps=True)
        box = Box(
            name="",
            image=row["Image"],
            bridge_image="",
            marks=marks,
            host="",
            variables={},
            data=self.files.data(marks[ID]),
            folder=socket.parent,
            outgoing=None,
            port=int(marks[_PORT]),
            prefix=marks[_PREFIX],
            keeps_prefix=bool(marks[_KEEPS_PREFIX]),
            network="",
        )
        app = ContainerApp(self.engine, self.settings, (row["Id"], bridge), box, log, socket, since)
        if app.answers():
            return Left(marks[ID], int(marks[GENERATION]), marks[COMMIT], app, log)
        app.stop(at_once=True)
        log.close()
        return None

    def cache_bytes(self) -> dict[str, int]:
        """See :meth:`Driver.cache_bytes`."""
        found: dict[str, int] = {}
        for row in self.engine.images(f"{INSTANCE}={self.instance}"):
            realm = str(row["Labels"].get(REALM, ""))
            found[realm] = found.get(realm, 0) + _own_bytes(row)
        return found

    def forget(self, app_id: str) -> None:
        """See :meth:`Driver.forget`."""
        # By one label: some versions of Podman find nothing by two.
        mark = f"{ID}={app_id}"
        with suppress(EngineError):
            for row in self.engine.containers(mark):
                with suppress(EngineError):
                    self.engine.remove(row["Id"])
            for row in self.engine.images(mark):
                self.remove_image(row["Id"])
            self._empty(self.files.data(app_id))

    def close(self) -> None:
        """See :meth:`Driver.close`."""
        self.engine.close()

    def make_room(self, app_id: str, image: str, in_use: frozenset[str]) -> None:
        """Removes the older images of an app, and beyond the limit those of others that do not run, oldest first.

        Args:
            app_id: the app that was built.
            image: its image, which is kept.
            in_use: images that apps run with.
        """
        rows = self.engine.images(f"{INSTANCE}={self.instance}")
        total = sum(_own_bytes(row) for row in rows)
        for row in sorted(rows, key=lambda row: int(row["Created"])):
            tags = set(row.get("RepoTags") or [])
            if any(tag.endswith(used) for tag in tags for used in {image, *in_use}):
                continue
            too_many = self.settings.APPS_CACHE_MAX and total > self.settings.APPS_CACHE_MAX
            if row["Labels"].get(ID) == app_id or too_many:
                total -= _own_bytes(row)
                self.remove_image(row["Id"])
        if self.settings.APPS_CACHE_MAX and not self.engine.is_podman:
            self.engine.call("POST", "/build/prune", {"keep-storage": str(self.settings.APPS_CACHE_MAX)})

    def remove_image(self, image: str) -> None:
        """Removes an image, unless a container uses it."""
        self.engine.call("DELETE", f"/images/{image}", missing=True)

    @property
    def bridge_image(self) -> str:
        """The image with Python for what runs beside apps: that of this service if it is in a container."""
        own = self.engine.own_container
        if own is not None:
            return str(own["Image"])
        self.engine.need_image(BRIDGE_IMAGE)
        return BRIDGE_IMAGE

    def _empty(self, folder: Path) -> None:
        """Removes what an app left in its folder: it may belong to an account that this service has no power over."""
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        body = {
            "Image": self.bridge_image,
            "User": "0:0",
            "Entrypoint": ["sh", "-c", "rm -rf /left/* /left/.[!.]* /left/..?*"],
            "Labels": {INSTANCE: self.instance, ID: "", PLACE: "", ROLE: "cleaner"},
            "HostConfig": {
                "NetworkMode": _NO_NETWORK,
                "CapDrop": ["ALL"],
                "CapAdd": ["DAC_OVERRIDE", "FOWNER"],
                "SecurityOpt": ["no-new-privileges"],
                "Mounts": [{"Type": "bind", "Source": self.engine.outside(folder), "Target": "/left"}],
            },
        }
        cleaner = self.engine.create(f"assembler-cleaner-{uuid.uuid4().hex[:12]}", body)
        try:
            self.engine.start(cleaner)
            self.engine.call("POST", f"/containers/{cleaner}/wait")
        finally:
            self.engine.remove(cleaner)
        shutil.rmtree(folder, ignore_errors=True)


class ContainerWork:
    """See :class:`Work`.

    Args:
        driver: the driver.
        order: what is to be started.
        tree: its files.
        plan: how its image is built.
    """

    resolved = None
    """See :attr:`Work.resolved`: what an image contains is not read."""

    def __init__(self, driver: ContainerDriver, order: Order, tree: Mapping[str, SpaceFile], plan: ImagePlan) -> None:
        self._driver, self._order, self._tree, self._plan = driver, order, tree, plan
        self._image = ""

    @property
    def start_seconds(self) -> float:
        """See :attr:`Work.start_seconds`."""
        return self._plan.start_seconds

    def build(self, log: Callable[[str], None], stopped: threading.Event) -> None:
        """See :meth:`Work.build`."""
        driver, order = self._driver, self._order
        arguments = build_arguments(self._plan, order.variables)
        secrets = dict(order.secrets) if self._plan.mounts_secrets else {}
        key = image_key(self._plan, self._tree, arguments, secrets)
        image = f"assembler/{order.app_id.lower()}:{key}"
        if driver.engine.has_image(image) and not order.fresh:
            log("The image is built already.")
        else:
            build_image(
                driver.engine,
                self._plan,
                self._tree,
                order.folder,
                tag=image,
                marks={INSTANCE: driver.instance, ID: order.app_id, REALM: order.realm},
                arguments=arguments,
                secrets=secrets,
                fresh=order.fresh,
                log=log,
                stopped=stopped,
            )
        self._image = image
        with suppress(EngineError):
            driver.make_room(order.app_id, image, order.in_use)

    def start(self, log: LogFile) -> ContainerApp:
        """See :meth:`Work.start`."""
        driver, order, settings = self._driver, self._order, self._driver.settings
        place = order.socket.parent.name
        marks = {
            INSTANCE: driver.instance,
            ID: order.app_id,
            GENERATION: str(order.generation),
            COMMIT: order.oid,
            PLACE: place,
            _PORT: str(self._plan.port),
            _PREFIX: order.prefix,
            _KEEPS_PREFIX: "1" if self._plan.keeps_prefix else "",
        }
        _open_to_apps(order.data, order.socket.parent)
        box = Box(
            name=f"assembler-{place}",
            image=self._image,
            bridge_image=driver.bridge_image,
            marks=marks,
            host=order.name,
            variables={**app_variables(settings, self._plan.port, order.prefix), **order.variables, **order.secrets},
            data=order.data,
            folder=order.socket.parent.resolve(),
            outgoing=order.outgoing.resolve() if order.outgoing else None,
            port=self._plan.port,
            prefix=order.prefix,
            keeps_prefix=self._plan.keeps_prefix,
            network=_OUTSIDE_NETWORK if settings.APPS_NETWORK == "host" else _NO_NETWORK,
        )
        containers = start_containers(driver.engine, settings, box)
        return ContainerApp(driver.engine, settings, containers, box, log, order.socket)


def _open_to_apps(*folders: Path) -> None:
    """Lets the accounts of containers write to folders; those above them are closed to everyone else."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):
            # A folder that an app took for itself stays so.
            folder.chmod(0o777)


def _instance_id(root: Path) -> str:
    path = root / "instance-id"
    root.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), path.open("x") as file:
        file.write(uuid.uuid4().hex)
    return path.read_text().strip()


def _is_trial(app_id: str) -> bool:
    return app_id.startswith(TRIAL_PREFIX)


def _own_bytes(image: Mapping[str, Any]) -> int:
    """Returns the size of an image without what it shares with others, as far as the engine reports it."""
    shared = int(image.get("SharedSize") or 0)
    return int(image.get("Size") or 0) - max(0, shared)


def _last_time(path: Path) -> float:
    """Returns the time of the newest line of a log; now if there is none."""
    with suppress(OSError, ValueError, IndexError):
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            line = file.read().splitlines()[-1]
        return datetime.fromisoformat(line.partition(b"\t")[0].decode()).timestamp()
    return time.time()
