"""The build of an app's image, by the command of the engine: its API builds nothing that reads secrets."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from assembler_runner.apps.engine import Engine, labels
from assembler_runner.apps.environments import BuildFailed
from assembler_runner.apps.image_plan import INDEX_ARGUMENTS, ImagePlan
from assembler_runner.apps.working_folder import write_tree
from assembler_runner.files.tree import SpaceFile

_KEPT = re.compile(
    r"PATH|HOME|LANG|DOCKER_CONFIG|XDG_RUNTIME_DIR|SSL_CERT_(?:FILE|DIR)|(?:https?|no)_proxy", re.IGNORECASE
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LINE_BYTES, _SECONDS = 8192, 20
_OWN_BUILDKIT = range(20, 23)
"""Versions of the command docker that contain BuildKit; later ones have it as the plugin buildx."""


def image_key(
    plan: ImagePlan, tree: Mapping[str, SpaceFile], arguments: Mapping[str, str], secrets: Mapping[str, str]
) -> str:
    """Returns a key that is equal for images that are built from the same.

    Args:
        plan: how it is built.
        tree: the files.
        arguments: the build arguments.
        secrets: the secrets that the build reads.
    """
    files = sorted((path, file.sha256) for path, file in tree.items())
    recipe = json.dumps([plan.dockerfile, files, sorted(arguments.items()), sorted(secrets.items())])
    return hashlib.sha256(recipe.encode()).hexdigest()[:32]


def build_arguments(plan: ImagePlan, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the build arguments that a Dockerfile declares: variables of the Space, and the package index.

    Args:
        plan: how the image is built.
        variables: variables of the Space.
    """
    index = {name: os.environ[name] for name in INDEX_ARGUMENTS if name in os.environ}
    return {name: value for name, value in {**index, **variables}.items() if name in plan.arguments}


def build_image(
    engine: Engine,
    plan: ImagePlan,
    tree: Mapping[str, SpaceFile],
    folder: Path,
    *,
    tag: str,
    marks: Mapping[str, str],
    arguments: Mapping[str, str],
    secrets: Mapping[str, str],
    fresh: bool,
    log: Callable[[str], None],
    stopped: threading.Event,
) -> None:
    """Builds an image.

    Args:
        engine: the engine.
        plan: how it is built.
        tree: the files of the Space.
        folder: a folder for them, removed at the end.
        tag: name of the image.
        marks: its labels.
        arguments: the build arguments.
        secrets: what the build may read as secrets.
        fresh: whether nothing of an earlier build is used again.
        log: receives each line.
        stopped: ends the build when it is set.
    Raises:
        BuildFailed: it failed or was stopped.
    """
    command, more, can_mount = _program(engine)
    if plan.mounts_secrets and not can_mount:
        raise BuildFailed(
            "The Dockerfile reads secrets while it is built (RUN --mount=type=secret): "
            "this needs the plugin buildx of Docker.",
            hint="Ask whoever runs this service to install docker-buildx or docker-buildx-plugin.",
        )
    write_tree(tree, folder)
    with tempfile.TemporaryDirectory(prefix="assembler-build-") as named:
        aside = Path(named)
        (aside / "Dockerfile").write_text(plan.dockerfile)
        words = [*command, "--file", str(aside / "Dockerfile"), "--tag", tag]
        for mark in labels(marks):
            words += ["--label", mark]
        for name, value in arguments.items():
            words += ["--build-arg", f"{name}={value}"]
        if fresh:
            words += ["--no-cache"]
        if can_mount:
            for number, (name, value) in enumerate(secrets.items()):
                (aside / str(number)).write_text(value)
                words += ["--secret", f"id={name},src={aside / str(number)}"]
        try:
            # The home folder may be closed for writing.
            aside_only = {"BUILDX_CONFIG": str(aside / "buildx")}
            _run([*words, str(folder)], {**_environment(), **aside_only, **more}, log, stopped)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _program(engine: Engine) -> tuple[list[str], dict[str, str], bool]:
    """Returns the command that builds, its environment, and whether it can mount secrets."""
    if engine.is_podman:
        return ["podman", "--url", f"unix://{engine.socket_path}", "build"], {}, True
    address = {"DOCKER_HOST": f"unix://{engine.socket_path}"}
    if _answers("docker", "buildx", "version"):
        return ["docker", "buildx", "build", "--load", "--progress=plain"], address, True
    if _docker_version() in _OWN_BUILDKIT:
        return ["docker", "build", "--progress=plain"], {**address, "DOCKER_BUILDKIT": "1"}, True
    return ["docker", "build"], {**address, "DOCKER_BUILDKIT": "0"}, False


@cache
def _answers(*command: str) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    return ""


def _docker_version() -> int:
    found = re.search(r"version (\d+)\.", _answers("docker", "--version"))
    return int(found[1]) if found else 0


def can_mount_secrets(engine: Engine) -> bool:
    """Whether images can read secrets while they are built on this machine."""
    return _program(engine)[2]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}


def _run(
    command: Sequence[str], environ: Mapping[str, str], log: Callable[[str], None], stopped: threading.Event
) -> None:
    process = subprocess.Popen(
        command,
        env=dict(environ),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    ended = threading.Event()

    def end_early() -> None:
        while not ended.wait(0.2):
            if stopped.is_set():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return

    watcher = threading.Thread(target=end_early, name="image build", daemon=True)
    watcher.start()
    try:
        with process.stdout as output:
            while line := output.readline(_LINE_BYTES):
                log(_ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip("\r\n"))
        code = process.wait()
    finally:
        ended.set()
        watcher.join()
    if stopped.is_set():
        raise BuildFailed("The build was stopped.")
    if code:
        raise BuildFailed("The image could not be built.")
