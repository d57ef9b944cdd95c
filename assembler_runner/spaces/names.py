"""The names that Spaces hold on their targets: one unique column keeps two from having the same."""

from __future__ import annotations

import random
import string

from assembler_runner.spaces.models import Space

SLOT_CONSTRAINT = "uq_spaces_slot"
"""The database constraint that keeps two Spaces from holding one name."""


def slot_name(target: str, owner: str, name: str) -> str:
    """Returns what a Space holds so that no other can have its name on its target; case does not count."""
    return f"{target}:{owner}/{name}".lower()


def slot_beside(space: Space, namespace: str | None, name: str) -> str:
    """Returns the slot of another name; within the namespace of a Space the owner is called as in its own slot."""
    if space.slot is not None and namespace == space.namespace:
        return f"{space.slot.rpartition('/')[0]}/{name}".lower()
    return slot_name(space.target, namespace or f"~{space.realm_id}", name)


def slot_of(space: Space) -> str:
    """Returns what a Space holds so that no other can have its name on its target."""
    return slot_name(space.target, space.namespace or f"~{space.realm_id}", space.name)


def generated_name() -> str:
    """Returns a name for a Space whose caller gave it none."""
    letters = random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=6)
    return f"GeneratedSpace-{''.join(letters)}"
