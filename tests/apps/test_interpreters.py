"""Which Python of this machine runs an app."""

from __future__ import annotations

import sys

from assembler_runner.apps.interpreters import find_interpreter

OWN = sys.version_info[1]


def test_the_wanted_version_is_found() -> None:
    found = find_interpreter(f"3.{OWN}.0")
    assert found is not None and (found.short, found.minor) == (f"3.{OWN}", OWN)
    assert found.path.is_relative_to(found.prefix) and found.path.exists()


def test_without_it_another_one_is_taken() -> None:
    newest, oldest = find_interpreter("3.99"), find_interpreter("3.1")
    assert newest is not None and oldest is not None
    assert oldest.minor <= OWN <= newest.minor


def test_no_version_means_a_new_one() -> None:
    assert find_interpreter("3") is not None
