"""The API of a container engine over its Unix socket: Docker, or Podman, which speaks the same (Docker Engine API)."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assembler_runner.core.errors import AssemblerError

if TYPE_CHECKING:  # imported with the first engine, because it costs 25 ms and 5 MB
    import httpx

_SECONDS, _PULL_SECONDS = 60.0, 900.0
_HEAD_BYTES, _MOST_TEXT = 8, 500
_CONTAINER_FOLDER = re.compile(r"/(?:overlay-)?containers/([0-9a-f]{64})/")
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


class EngineError(AssemblerError):
    """The container engine refused a call or did not answer.

    Args:
        message: what it said, cut.
        code: the HTTP status; 0 without an answer.
    """

    code = "engine_error"
    default_message = "The container engine did not answer."
    default_hint = "Check the engine and APPS_ENGINE."

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(f"The container engine: {message[:_MOST_TEXT]}")
        self.number = number


class Engine:
    """One engine.

    Args:
        socket_path: its socket.
    """

    def __init__(self, socket_path: Path) -> None:
        import httpx

        self.socket_path = socket_path
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
        transport = httpx.HTTPTransport(uds=str(socket_path), limits=limits)
        self._http = httpx.Client(transport=transport, base_url="http://engine", timeout=_SECONDS)

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        body: Any = None,
        missing: bool = False,
        seconds: float = _SECONDS,
    ) -> Any:
        """Calls the engine.

        Args:
            method: the HTTP method.
            path: the path.
            query: query parameters; dictionaries are sent as JSON.
            body: JSON to send.
            missing: whether an object that is not there, or is busy, is no error; the answer is then None.
            seconds: maximum seconds.
        Raises:
            EngineError: the engine refused the call or did not answer.
        """
        import httpx

        sent = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in (query or {}).items()}
        try:
            answer = self._http.request(method, path, json=body, params=sent, timeout=seconds)
        except httpx.HTTPError as problem:
            raise EngineError(f"no answer at {self.socket_path} ({type(problem).__name__})") from None
        if answer.status_code in (404, 409) and missing:
            return None
        if answer.status_code >= 400:
            raise EngineError(_message(answer), answer.status_code)
        return answer.json() if answer.content and "json" in answer.headers.get("Content-Type", "") else answer.text

    @cached_property
    def is_podman(self) -> bool:
        """Whether the engine is Podman."""
        parts = self.call("GET", "/version").get("Components") or []
        return any("podman" in str(part.get("Name", "")).lower() for part in parts)

    @cached_property
    def own_container(self) -> Mapping[str, Any] | None:
        """The container of this engine that this process runs in; None if it runs in none."""
        if not any(Path(mark).exists() for mark in _CONTAINER_MARKS):
            return None
        # The engine mounts files of its folder of the container; the host name may be that of the machine.
        ids = _CONTAINER_FOLDER.findall(Path("/proc/self/mountinfo").read_text())
        for name in dict.fromkeys([*ids, socket.gethostname()]):
            found = self.call("GET", f"/containers/{name}/json", missing=True)
            if isinstance(found, dict):
                return found
        return None

    def outside(self, path: Path) -> str:
        """Returns a path of this process as the engine sees it, which does not share the file system of a container."""
        best = ("", "")
        for mount in (self.own_container or {}).get("Mounts") or []:
            place = str(mount["Destination"])
            if path.is_relative_to(place) and len(place) > len(best[0]):
                best = (place, str(mount["Source"]))
        return str(Path(best[1]) / path.relative_to(best[0])) if best[0] else str(path)

    def has_image(self, name: str) -> bool:
        """Whether the engine has an image."""
        return self.call("GET", f"/images/{name}/json", missing=True) is not None

    def need_image(self, name: str) -> None:
        """Fetches an image unless it is there.

        Raises:
            EngineError: it is not there and cannot be fetched.
        """
        if not self.has_image(name):
            image, _, tag = name.rpartition(":")
            self.call("POST", "/images/create", {"fromImage": image, "tag": tag}, seconds=_PULL_SECONDS)
            if not self.has_image(name):
                raise EngineError(f"the image {name} is not there and cannot be fetched")

    def containers(self, label: str) -> list[dict[str, Any]]:
        """Returns all containers that have a label, `name=value`, also those that ended."""
        found = self.call("GET", "/containers/json", {"all": "true", "filters": {"label": [label]}})
        return list(found)

    def images(self, label: str) -> list[dict[str, Any]]:
        """Returns all images that have a label, `name=value`."""
        return list(self.call("GET", "/images/json", {"filters": {"label": [label]}, "shared-size": "true"}))

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Creates a container and returns its id."""
        return str(self.call("POST", "/containers/create", {"name": name}, body=dict(body))["Id"])

    def start(self, container: str) -> None:
        """Starts a container."""
        self.call("POST", f"/containers/{container}/start")

    def stop(self, container: str, seconds: int) -> None:
        """Asks a container to end, and kills it if it does not in time."""
        self.call("POST", f"/containers/{container}/stop", {"t": seconds}, missing=True, seconds=seconds + _SECONDS)

    def remove(self, container: str) -> None:
        """Removes a container with its anonymous volumes, running or not."""
        self.call("DELETE", f"/containers/{container}", {"force": "true", "v": "true"}, missing=True)

    def state(self, container: str) -> dict[str, Any] | None:
        """Returns the state of a container; None if there is none."""
        found = self.call("GET", f"/containers/{container}/json", missing=True)
        return dict(found["State"]) if found is not None else None

    def log(self, container: str, since: float = 0) -> Iterator[bytes]:
        """Yields pieces of the output of a container until it ends.

        Args:
            container: the container.
            since: time from which on, in seconds; 0 for all.
        Raises:
            EngineError: the connection to the engine ended.
        """
        import httpx

        query = {"follow": "true", "stdout": "true", "stderr": "true", "since": f"{since:.6f}" if since else "0"}
        try:
            with self._http.stream("GET", f"/containers/{container}/logs", params=query, timeout=None) as answer:
                if answer.status_code < 400:
                    yield from _frames(answer.iter_bytes())
        except httpx.HTTPError as problem:
            raise EngineError(f"the log ended ({type(problem).__name__})") from None


def find_socket(named: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Returns the socket of the engine; None if there is none.

    Args:
        named: the setting APPS_ENGINE: `docker`, `podman`, the path or `unix://` address of a socket, or empty.
        environ: the environment.
    """
    if named.startswith(("/", "unix://")):
        path = Path(named.removeprefix("unix://"))
        return path if path.is_socket() else None
    own = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    places = [
        *(["/run/docker.sock", "/var/run/docker.sock", f"{own}/docker.sock"] if named != "podman" else []),
        *(["/run/podman/podman.sock", f"{own}/podman/podman.sock"] if named != "docker" else []),
    ]
    given = environ.get("DOCKER_HOST", "")
    if named != "podman" and given.startswith("unix://"):
        places.insert(0, given.removeprefix("unix://"))
    return next((Path(place) for place in places if _can_open(place)), None)


def engine_problem(named: str) -> str | None:
    """Returns why no engine can be used; None if one can.

    Args:
        named: the setting APPS_ENGINE.
    """
    path = find_socket(named)
    if path is None:
        return f"there is no socket of a container engine{f' at {named}' if named else ''} that this account may use"
    engine = Engine(path)
    try:
        program = "podman" if engine.is_podman else "docker"
    except EngineError as problem:
        return problem.message
    finally:
        engine.close()
    return None if shutil.which(program) else f"the command {program} is not installed, which builds images"


def _can_open(place: str) -> bool:
    return Path(place).is_socket() and os.access(place, os.R_OK | os.W_OK)


def _message(answer: httpx.Response) -> str:
    try:
        given = answer.json()
    except ValueError:
        return answer.text
    return str(given.get("message") or given.get("cause") or given) if isinstance(given, dict) else str(given)


def _frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yields the contents of the frames of a log: one byte kind, three bytes nothing, four bytes length."""
    held = b""
    for piece in pieces:
        held += piece
        while len(held) >= _HEAD_BYTES:
            length = int.from_bytes(held[4:_HEAD_BYTES], "big")
            if len(held) < _HEAD_BYTES + length:
                break
            yield held[_HEAD_BYTES : _HEAD_BYTES + length]
            held = held[_HEAD_BYTES + length :]


def labels(values: Mapping[str, str]) -> Sequence[str]:
    """Returns labels as the engine filters by them."""
    return [f"{name}={value}" for name, value in values.items()]
