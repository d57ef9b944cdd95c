"""A sandbox of bubblewrap: own users, processes, files and network, no privileges.

Bubblewrap is documented in bwrap(1). Arguments are handed over by a descriptor, since the command line of a process can
be read by every account of the machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

USER, HOME = 1000, "/home/user"
"""User id and home folder inside, those of the Hub."""

HOST_USER = 61184
"""User id outside if the service runs as root: the first of those that are reserved for services without an account."""

_STAGE = "/mnt"
_SYSTEM = ("/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf")
_FILES, _PROBE_SECONDS = 1024, 20
_LEVEL = 5


@dataclass(frozen=True)
class Sandbox:
    """What a sandbox contains.

    Args:
        read: place inside → file or folder of this machine, only for reading.
        write: place inside → file or folder of this machine.
        variables: all environment variables.
        folder: the working folder, inside.
        name: the host name, inside.
        network: whether it has the network of this machine; else one of its own, without any connection.
        scratch_bytes: size of each temporary file system.
        file_bytes: size of the largest file; 0 for no limit.
        memory_bytes: maximum data of one process; 0 for no limit.
        cpus: number of processors; 0 for all.
    """

    read: Mapping[str, Path]
    write: Mapping[str, Path]
    variables: Mapping[str, str]
    folder: str
    name: str = "space"
    network: bool = False
    scratch_bytes: int = 256 * 2**20
    file_bytes: int = 0
    memory_bytes: int = 0
    cpus: int = 0
    descriptors: tuple[int, ...] = field(default=())


def start(sandbox: Sandbox, command: Sequence[str], *, ends_with_input: bool = False) -> subprocess.Popen[bytes]:
    """Starts a command in a sandbox; it ends with the thread that calls this.

    Args:
        sandbox: the sandbox.
        command: the command, inside.
        ends_with_input: whether its standard input is a pipe; else it is empty.
    Returns:
        The process, with one pipe for its output and its errors.
    """
    arguments = _handed_over(_inner(sandbox))
    descriptors = [arguments]
    line = [_bwrap(), "--args", str(arguments), "--", *command]
    if os.geteuid() == 0:
        outer = _handed_over(_outer(sandbox))
        descriptors.append(outer)
        line = [_bwrap(), "--args", str(outer), "--", *_as_host_user(), *line]
    try:
        return subprocess.Popen(
            line,
            stdin=subprocess.PIPE if ends_with_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.defpath},
            cwd="/",
            pass_fds=[*descriptors, *sandbox.descriptors],
            preexec_fn=lambda: limit(sandbox),  # noqa: PLW1509 - only calls of the system
            start_new_session=True,
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@cache
def problem() -> str | None:
    """Returns why no sandbox works on this machine; None if one does."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "setpriv (util-linux) is not installed, which gives up the rights of root"
    probe = Sandbox({}, {}, {}, "/")
    # The files of the machine must not be reachable through another process either.
    script = "exec 2>&1; cat /proc/self/status && cd /proc/1 && ! cat root/etc/shadow"
    with start(probe, ["/bin/sh", "-c", script]) as process:
        try:
            output, _ = process.communicate(timeout=_PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return "bubblewrap does not respond"
    text = output.decode("utf-8", "replace")
    if process.returncode != 0:
        return _reason(text)
    if "CapEff:\t0000000000000000" not in text or "NoNewPrivs:\t1" not in text:
        return "bubblewrap does not take all privileges away"
    return None


def own_by_host_user(*paths: Path, recursive: bool = True) -> None:
    """Gives files and folders to the account that apps run as, if that is another one."""
    if os.geteuid() != 0:
        return
    for path in paths:
        os.chown(path, HOST_USER, HOST_USER)
        for root, folders, files in os.walk(path) if recursive else ():
            for name in (*folders, *files):
                os.chown(os.path.join(root, name), HOST_USER, HOST_USER, follow_symlinks=False)  # noqa: PTH118 - many


def _reason(text: str) -> str:
    line = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
    if "uid map" in text or "namespace" in text.lower() or "Operation not permitted" in text:
        return (
            "this machine or container does not let ordinary users make namespaces "
            f"(sysctl kernel.apparmor_restrict_unprivileged_userns, kernel.unprivileged_userns_clone): {line[:200]}"
        )
    return f"bubblewrap failed: {line[:200]}"


def _bwrap() -> str:
    return shutil.which("bwrap") or "bwrap"


def _as_host_user() -> list[str]:
    user = str(HOST_USER)
    return [shutil.which("setpriv") or "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]


def _handed_over(arguments: Sequence[str]) -> int:
    descriptor = os.memfd_create("arguments")
    with open(descriptor, "wb", closefd=False) as file:
        file.write("".join(f"{word}\0" for word in arguments).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def limit(sandbox: Sandbox) -> None:
    """Sets the limits of a process, in the process itself."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    if sandbox.file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (sandbox.file_bytes, sandbox.file_bytes))
    if sandbox.memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (sandbox.memory_bytes, sandbox.memory_bytes))
    if sandbox.cpus:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: sandbox.cpus])
    os.nice(_LEVEL)


def _staged(sandbox: Sandbox) -> list[tuple[Path, str, bool]]:
    """Returns what the outer sandbox binds: path of this machine, place, whether it may be written."""
    places = [(path, False) for path in sandbox.read.values()] + [(path, True) for path in sandbox.write.values()]
    return [(path, f"{_STAGE}/{number}", writes) for number, (path, writes) in enumerate(places)]


def _outer(sandbox: Sandbox) -> list[str]:
    """The sandbox that root makes before it gives up its rights: the account of the apps cannot reach all folders."""
    # All of /proc has to be visible for the inner sandbox to get one of its own.
    found = ["--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", _STAGE]
    for path, place, writes in _staged(sandbox):
        found += ["--bind" if writes else "--ro-bind", str(path), place]
    return found


def _inner(sandbox: Sandbox) -> list[str]:
    is_root = os.geteuid() == 0
    found = ["--die-with-parent", "--new-session", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts"]
    found += ["--unshare-cgroup-try", *(() if sandbox.network else ("--unshare-net",))]
    found += ["--uid", str(USER), "--gid", str(USER), "--cap-drop", "ALL", "--disable-userns"]
    found += ["--hostname", sandbox.name, "--clearenv"]
    found += ["--ro-bind", "/usr", "/usr", *_system_links()]
    for path in (*_SYSTEM, *(_NETWORK if sandbox.network else ())):
        found += ["--ro-bind-try", path, path]
    found += ["--proc", "/proc", "--dev", "/dev"]
    size = str(sandbox.scratch_bytes)
    for place in ("/dev/shm", "/tmp", HOME):  # noqa: S108 - inside
        found += ["--size", size, "--tmpfs", place]
    places = [*((place, False) for place in sandbox.read), *((place, True) for place in sandbox.write)]
    for (path, staged, _), (place, writes) in zip(_staged(sandbox), places, strict=True):
        found += ["--bind" if writes else "--ro-bind", staged if is_root else str(path), place]
    for name, value in sandbox.variables.items():
        found += ["--setenv", name, value]
    return [*found, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", sandbox.folder]


def _system_links() -> list[str]:
    found = []
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            found += ["--ro-bind", str(path), str(path)]
    return found
