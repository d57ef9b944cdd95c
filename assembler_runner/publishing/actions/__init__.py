"""What a worker does on the target for each action: one table, action → function.

Each function may be called again after it was killed at any point: it looks at the target before it repeats anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assembler_runner.publishing.actions import creating, deleting, machine, moving, publishing
from assembler_runner.publishing.actions.base import Done
from assembler_runner.publishing.job import Job
from assembler_runner.targets import Target

__all__ = ["ACTIONS", "HAPPENED", "Done"]

ACTIONS: Mapping[str, Callable[[Job], Done]] = {
    "create": creating.create,
    "duplicate": creating.create,
    "update": publishing.publish,
    "rollback": publishing.publish,
    "delete": deleting.delete,
    "move": moving.move,
    "restart": machine.restart,
    "factory_rebuild": machine.restart,
    "wake": machine.restart,
    "pause": machine.pause,
    "hardware": machine.change,
}
"""Action → what is done. Raises errors of the tree, `Cancelled` and `LeaseLost`."""

HAPPENED: Mapping[str, Callable[[Job, Target], bool]] = {
    "update": publishing.happened,
    "rollback": publishing.happened,
    "delete": deleting.happened,
    "move": moving.happened,
}
"""Action → whether it took effect after all, asked once more after its request ended otherwise."""
