"""The declaration of a setting."""

from __future__ import annotations

import dataclasses
from typing import Any


def setting(
    default: Any,
    help_text: str,
    *,
    secret: bool = False,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    at_most: float | None = None,
) -> Any:
    """Declares one setting.

    Args:
        default: the value if the environment variable is not set.
        help_text: one line for the documentation.
        secret: never shown, not even in errors.
        choices: the only values allowed.
        at_least: the smallest number allowed.
        at_most: the largest number allowed.
    """
    metadata = {
        "help": help_text,
        "secret": secret,
        "choices": choices,
        "at_least": at_least,
        "at_most": at_most,
    }
    return dataclasses.field(default=default, metadata=metadata)
