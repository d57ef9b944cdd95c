"""Where the servers of an app listen, as its log says, and whether the Hub finds them there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assembler_runner.runtime.causes.text import Line

EVERYWHERE, LOCAL = "everywhere", "local"
_LAST_LINES = 300
SIDE_PORTS = frozenset(
    {11434, 6379, 5432, 3306, 27017, 5672, 15672, 9200, 9300, 19530, 6333, 6334, 8265, 9222, 9515, 4444, 5900, 6080}
    | {9090, 9042, 2181, 9092, 11211, 1883, 7474, 7687, 8125, 4040, 9001, 5555, 2375, 5037, 8086, 1433, 26257}
)
"""Ports of databases, model servers and tools that an app runs beside itself."""

_SIDE_PROGRAM = re.compile(
    r"(?i)(?:ollama|redis|postgres|mysqld?|mariadb|mongod?|rabbitmq|elasticsearch|qdrant|milvus|chromedriver|devtools"
    r"|vnc|prometheus|metrics|debugger|inspector|supervis|ray\b|jaeger|memcached|dask|tensorboard|routes\.go|backend)"
)
_STARTED = re.compile(
    r"(?i)\b(?:running (?:on|at)|listen(?:ing|s)?\b|serv(?:ing|ed) (?:\w{1,12} )?(?:on|at)|started (?:on|at|server)"
    r"|server at|bound to|(?:available|ready|up|live|accessible) (?:on|at)|on port"
    r"|(?:local|network|external|internal)(?: url)?:|url:)"
)
_ADDRESS = re.compile(
    r"(?i)(?P<host>0\.0\.0\.0|\[::\]|\[::1\]|::1|::|\*|127\.0\.0\.\d{1,3}|localhost|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})"
    r"(?:[:/]|(?:,)? {0,2}(?:on )?port[ =:]{1,3})(?P<port>\d{2,5})\b"
    r"|\bport(?:\(s\))?[ =:#]{0,3}(?P<alone>\d{2,5})\b|(?<= ):(?P<bare>\d{2,5})\b"
)
_COMPLETE = ("INFO:     Application startup complete", "Application startup complete")
_LOCAL_BY_DEFAULT = re.compile(r"(?i)use --host to expose")
_FAILED = re.compile(r"(?i)error|fail|denied|in use|refused|EACCES|cannot|can't|timed? ?out")
_ALL = re.compile(r"(?i)running on all addresses|\(0\.0\.0\.0\)|all interfaces")
_SURE = re.compile(
    r"[ *>-]{0,6}(?:INFO:? {1,6})?(?:Uvicorn running on|Running on|Listening at: |Listening on:? http|Now listening on"
    r"|Dash is running|Starting development server|Serving HTTP|Hypercorn|Server is listening on 127|Daphne)"
)
_LOCAL_HOST = re.compile(r"(?i)127\.|localhost|\[?::1")


@dataclass(frozen=True)
class Listener:
    """One server that tells where it listens.

    Args:
        port: the port.
        reach: `everywhere`, `local`, or None where the line does not tell for certain.
        line: number of the line that says so.
        text: that line.
    """

    port: int
    reach: str | None
    line: int
    text: str


def find_listeners(lines: Sequence[Line]) -> list[Listener]:
    """Returns the servers of the app itself, one for each port, in the order of the log."""
    found: dict[int, Listener] = {}
    everywhere = False
    for line in lines:
        everywhere = everywhere or bool(_ALL.search(line.text[:200]))
        started = _STARTED.search(line.text[:200])
        if not started or _SIDE_PROGRAM.search(line.text) or _FAILED.search(line.text):
            continue
        address = _ADDRESS.search(line.text, max(0, started.start() - 1))
        if not address:
            continue
        port = int(address["port"] or address["alone"] or address["bare"])
        host = address["host"] or ""
        reach = EVERYWHERE if host else None
        if _LOCAL_HOST.match(host):
            # Apps of Node often print localhost while they listen on all addresses.
            reach = LOCAL if _SURE.match(line.text) else None
        if port in SIDE_PORTS or not 0 < port < 65536:
            continue
        before = found.get(port)
        if before is None or (before.reach != EVERYWHERE and reach == EVERYWHERE):
            found[port] = Listener(port, reach, line.number, line.text)
    if any(_LOCAL_BY_DEFAULT.search(line.text[:200]) for line in lines[-_LAST_LINES:]):
        return [Listener(one.port, one.reach or LOCAL, one.line, one.text) for one in found.values()]
    if everywhere:
        return [Listener(one.port, EVERYWHERE, one.line, one.text) for one in found.values()]
    return list(found.values())


def is_server_start(text: str) -> bool:
    """Whether a line tells that a server answers now."""
    if text.startswith(_COMPLETE):
        return True
    return bool(_STARTED.search(text[:200])) and bool(_ADDRESS.search(text[:300])) and not _FAILED.search(text)
