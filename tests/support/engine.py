"""A container engine for tests, and the image that apps start from, made of this machine's own files where no registry
is reached."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from assembler_runner.apps.container_driver import BRIDGE_IMAGE
from assembler_runner.apps.engine import Engine, EngineError, engine_problem, find_socket
from assembler_runner.apps.interpreters import find_interpreter

VARIABLE = "TEST_APPS_ENGINE"
_PROGRAMS = (
    *("sh", "cat", "chmod", "chown", "env", "id", "ls", "mkdir", "rm", "sleep", "su", "tr", "useradd"),
    *("groupadd", "head", "cp"),
)
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LEFT_OUT = re.compile(r"/(?:test|tests|site-packages|__pycache__|idlelib|config-3[^/]*|share)(?:/|$)|\.a$")


def socket_of_tests() -> str:
    """Returns the engine that tests may use, as the setting APPS_ENGINE names it."""
    return os.environ.get(VARIABLE, "")


@cache
def needs_engine() -> Path:
    """Returns the socket of an engine that has the image of apps; skips the test where there is none."""
    named = socket_of_tests()
    reason = engine_problem(named)
    if reason is not None:
        pytest.skip(f"no container engine works here ({VARIABLE} names one): {reason}")
    path = find_socket(named)
    assert path is not None
    engine = Engine(path)
    try:
        _need_image(engine)
    except EngineError as problem:
        pytest.skip(f"the container engine does not work: {problem.message}")
    finally:
        engine.close()
    return path


def _need_image(engine: Engine) -> None:
    if engine.has_image(BRIDGE_IMAGE):
        return
    interpreter = find_interpreter("3.12")
    assert interpreter is not None
    command = ["podman", "--url"] if engine.is_podman else ["docker", "--host"]
    load = [*command, f"unix://{engine.socket_path}", "import", "--change", "CMD python3", "-", BRIDGE_IMAGE]
    with subprocess.Popen(load, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        with tarfile.open(fileobj=process.stdin, mode="w|", dereference=False) as archive:
            _fill(archive, interpreter.prefix, interpreter.short)
    if process.returncode:
        raise EngineError("an image cannot be imported")


def _fill(archive: tarfile.TarFile, prefix: Path, short: str) -> None:
    """Writes a small file system: Python in /usr/local, some programs of this machine, and the libraries they need."""
    programs = {name: Path(found) for name in _PROGRAMS if (found := shutil.which(name, path=_PLACES))}
    python = prefix / "bin" / f"python{short}"
    extensions = list((prefix / "lib" / f"python{short}" / "lib-dynload").glob("*.so"))
    for library in sorted(
        {library for path in (python, *programs.values(), *extensions) for library in _libraries(path)}
    ):
        if not library.is_relative_to(prefix):
            archive.add(library.resolve(), str(library).removeprefix("/usr"))
    for name, path in programs.items():
        archive.add(path.resolve(), f"bin/{name}")
    archive.add(python.resolve(), "usr/local/bin/python3")
    _text(archive, "usr/local/bin/python", '#!/bin/sh\nexec /usr/local/bin/python3 "$@"\n', 0o755)
    _text(archive, "usr/local/bin/pip", '#!/bin/sh\nexec /usr/local/bin/python3 -m pip "$@"\n', 0o755)
    for library in (prefix / "lib").glob("libpython*.so*"):
        archive.add(library.resolve(), f"lib/{library.name}")
    home = prefix / "lib" / f"python{short}"
    for path in _files(home):
        archive.add(path, f"usr/local/lib/python{short}/{path.relative_to(home)}", recursive=False)
    packages = f"usr/local/lib/python{short}/site-packages"
    pip = next((home / "site-packages").glob("pip"), None)
    for path in _files(pip) if pip is not None else ():
        archive.add(path, f"{packages}/pip/{path.relative_to(pip)}", recursive=False)
    _text(archive, "etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    _text(archive, "etc/group", "root:x:0:\n")
    for name in ("tmp", "root", "etc", "var", "home", "data"):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        archive.addfile(entry)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _LEFT_OUT.search(str(path.relative_to(folder.parent))):
            yield path


def _libraries(path: Path) -> set[Path]:
    told = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    return {Path(word) for word in re.findall(r"(/\S+)", told) if Path(word).exists()}


def _text(archive: tarfile.TarFile, name: str, text: str, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), mode
    archive.addfile(entry, io.BytesIO(text.encode()))
