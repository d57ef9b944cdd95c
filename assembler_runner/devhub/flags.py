"""What can be said about a Hub of one's own on a command line: stages, faults, accounts."""

from __future__ import annotations

import re
from typing import cast

from assembler_runner.devhub.faults import Fault, Kind
from assembler_runner.devhub.runtime import Stage

_KINDS = ("drop_before", "drop_after", "hang", "garbage", "truncate")
_FAULT = re.compile(
    r"(?:(?P<method>GET|HEAD|POST|PUT|DELETE) )?(?P<path>\S+) "
    r"(?P<what>[1-5]\d\d|drop_before|drop_after|hang|garbage|truncate)(?::(?P<seconds>\d+(?:\.\d+)?))?"
    r"(?: x(?P<times>\d+|\*))?(?: after (?P<after>\d+))?"
)
_STAGE = re.compile(r"(?P<name>[A-Z_]+)(?::(?P<seconds>\d+(?:\.\d+)?))?")


def parse_fault(text: str) -> Fault:
    """Parses a fault.

    Args:
        text: `[METHOD ]PATH WHAT[:SECONDS][ xTIMES][ after N]`: a regular expression for the path; a status, or
            drop_before, drop_after, hang, garbage, truncate; `x*` for every time.
    Raises:
        ValueError: it has another form.
    """
    found = _FAULT.fullmatch(text.strip())
    if found is None:
        raise ValueError("must have the form '[METHOD ]PATH WHAT[:SECONDS][ xTIMES][ after N]'")
    what, times = found["what"], found["times"]
    return Fault(
        kind=cast(Kind, what if what in _KINDS else "status"),
        method=found["method"],
        path=found["path"],
        status=int(what) if what.isdecimal() else 500,
        seconds=float(found["seconds"] or 0),
        times=None if times == "*" else int(times or 1),
        after=int(found["after"] or 0),
    )


def parse_stages(text: str) -> list[Stage]:
    """Parses stages: `BUILDING:2,APP_STARTING:1,RUNNING` with seconds; the last one stays.

    Raises:
        ValueError: one of them has another form.
    """
    stages = []
    for part in text.split(","):
        found = _STAGE.fullmatch(part.strip())
        if found is None:
            raise ValueError("must have the form NAME[:SECONDS],NAME[:SECONDS],…")
        error = "Scripted." if found["name"].endswith("_ERROR") else None
        stages.append(Stage(found["name"], seconds=float(found["seconds"]) if found["seconds"] else None, error=error))
    return stages
