"""Spaces that this service did not publish: what a target reports of one before it is adopted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assembler_runner.targets.base import Head, PublishedSpace


@dataclass(frozen=True)
class ExistingSpace:
    """A Space as it is on its target.

    Args:
        space: its current names; they differ from the requested ones if it was renamed.
        head: the head of its history.
        sdk: the SDK that the target runs.
        visibility: `public`, `private` or `protected`.
        variables: its public environment variables.
        secret_names: the names of its secrets.
        stage: the target's name for the stage of its app.
        hardware: the hardware flavor requested last, or None.
        sleep_time: seconds without use until the app sleeps, or None.
    """

    space: PublishedSpace
    head: Head
    sdk: str
    visibility: str
    variables: Mapping[str, str]
    secret_names: tuple[str, ...]
    stage: str
    hardware: str | None = None
    sleep_time: int | None = None


class KnowsExisting(ABC):
    """The part of a target that reports existing Spaces."""

    @abstractmethod
    def existing(self, namespace: str, name: str) -> ExistingSpace:
        """Reads everything about a Space that adopting it needs.

        Raises:
            TargetNotFound: the Space does not exist, or is not visible to the token.
            TargetForbidden: the token may not write to it.
        """
