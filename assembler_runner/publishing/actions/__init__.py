"""What a worker does on the target for each action: one table, action → function.

Each function may be called again after it was killed at any point: it looks at the target before it repeats anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assembler_runner.publishing.actions import commit, create, delete, hardware, move
from assembler_runner.publishing.actions.base import Done
from assembler_runner.publishing.job import Job
from assembler_runner.targets import Target

__all__ = ["ACTIONS", "HAPPENED", "Done"]

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
"""Action → what is done. Raises errors of the tree, `Cancelled` and `LeaseLost`."""

HAPPENED: Mapping[str, Callable[[Job, Target], bool]] = {
    "update": commit.happened,
    "rollback": commit.happened,
    "delete": delete.happened,
    "move": move.happened,
}
"""Action → whether it took effect after all, asked once more after its request ended otherwise."""
