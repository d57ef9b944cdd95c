"""Runs inside a sandbox: starts the app, and connects a Unix socket with the app's port in the sandbox's own network.

bridge.py SOCKET-DESCRIPTOR PORT OUTGOING-SOCKET PROCESSES COMMAND...    with 0 processes: without a sandbox
bridge.py SOCKET PORT OUTGOING-SOCKET 0    beside the container of an app, which it does not start

Standard library only, and every Python from 3.9: it runs with the interpreter of the app.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
from asyncio import StreamReader, StreamWriter
from pathlib import Path

OUTGOING_PORT = 3128
END_SECONDS = 10
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER (Linux, prctl.h)


async def pump(reader: StreamReader, writer: StreamWriter) -> None:
    """Passes bytes on until one side ends."""
    try:
        while True:
            data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def join(left: tuple[StreamReader, StreamWriter], right: tuple[StreamReader, StreamWriter]) -> None:
    """Connects two connections until both have ended."""
    await asyncio.gather(pump(left[0], right[1]), pump(right[0], left[1]))
    left[1].close()
    right[1].close()


def kill_all_below() -> None:
    """Kills the processes that the app started; without a sandbox, nothing else ends them."""
    while True:
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                except OSError:
                    continue
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
        # Orphans have become children of this process.
        found = {os.getpid()}
        while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
            found |= more
        if len(found) == 1:
            return
        for pid in found - {os.getpid()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


async def main(place: str, port: int, outgoing: str, processes: int, command: list[str]) -> None:
    """Serves until the app ends, and ends with its exit code."""

    async def enter(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            inner = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await join((reader, writer), inner)

    async def leave(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            outer = await asyncio.open_unix_connection(outgoing)
        except OSError:
            writer.close()
            return
        await join((reader, writer), outer)

    if place.isdecimal():
        await asyncio.start_unix_server(enter, sock=socket.socket(fileno=int(place)), backlog=512)
    else:
        await asyncio.start_unix_server(enter, place, backlog=512)
        # The proxy has another account; the folder of the socket is closed to everyone else.
        Path(place).chmod(0o666)
    if outgoing != "-":
        await asyncio.start_server(leave, "127.0.0.1", OUTGOING_PORT)
    if not command:
        await asyncio.Event().wait()
    if not processes:
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        # In a sandbox the limit counts its processes alone.
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))) if processes else None,
    )

    async def end() -> None:
        # The standard input ends when the app is to end, and when the service has ended.
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
        await reader.read()
        child.terminate()
        await asyncio.sleep(END_SECONDS)
        child.kill()

    # Kept, since a task without a reference may be collected.
    watching = {asyncio.ensure_future(end())}
    code = await child.wait()
    watching.clear()
    if not processes:
        kill_all_below()
    # At once: open connections end with the process.
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
