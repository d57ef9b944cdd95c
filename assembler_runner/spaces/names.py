"""Names of Spaces on their targets, reserved by a unique column, the slot."""

from __future__ import annotations

import random
import string

from assembler_runner.spaces.models import Space

SLOT_CONSTRAINT = "uq_spaces_slot"
"""Database constraint that makes names unique per target and owner."""


def slot_name(target: str, owner: str, name: str) -> str:
    """Returns the slot that reserves a name on a target; case-insensitive."""
    return f"{target}:{owner}/{name}".lower()


def slot_beside(space: Space, namespace: str | None, name: str) -> str:
    """Returns the slot for another name; within the Space's namespace, the owner is written as in its current slot."""
    if space.slot is not None and namespace == space.namespace:
        return f"{space.slot.rpartition('/')[0]}/{name}".lower()
    return slot_name(space.target, namespace or f"~{space.realm_id}", name)


def slot_of(space: Space) -> str:
    """Returns the slot for the name of a Space."""
    return slot_name(space.target, space.namespace or f"~{space.realm_id}", space.name)


def generated_name() -> str:
    """Generates a name for a Space that was requested without one."""
    letters = random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=6)
    return f"GeneratedSpace-{''.join(letters)}"
