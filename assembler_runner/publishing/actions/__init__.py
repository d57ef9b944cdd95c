"""The actions of a worker on the target: one table, action → function.

Each function may be called again after its process was killed at any point: it queries the target before it repeats a
call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assembler_runner.publishing.actions import commit, create, delete, hardware, move
from assembler_runner.publishing.actions.base import Done
from assembler_runner.publishing.job import Job
from assembler_runner.targets import Target

__all__ = ["ACTIONS", "TOOK_EFFECT", "Done"]

ACTIONS: Mapping[str, Callable[[Job], Done]] = {
    "create": create.create,
    "duplicate": create.create,
    "update": commit.publish,
    "rollback": commit.publish,
    "delete": delete.delete,
    "move": move.move,
    "restart": hardware.restart,
    "factory_rebuild": hardware.restart,
    "wake": hardware.restart,
    "pause": hardware.pause,
    "hardware": hardware.change,
}
"""Action → function that performs it. A function raises `AssemblerError`, `Cancelled` or `LeaseLost`."""

TOOK_EFFECT: Mapping[str, Callable[[Job, Target], bool]] = {
    "update": commit.took_effect,
    "rollback": commit.took_effect,
    "delete": delete.took_effect,
    "move": move.took_effect,
}
"""Action → function that checks on the target whether it took effect although its request failed."""
