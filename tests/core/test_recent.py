"""Values that are kept for a short time."""

from __future__ import annotations

from itertools import count

from assembler_runner.core.recent import Recent


def test_a_value_is_kept_per_key() -> None:
    numbers = count()
    recent: Recent[int] = Recent(60.0)
    assert [recent.get(key, lambda: next(numbers)) for key in ("a", "a", "b", "a")] == [0, 0, 1, 0]


def test_an_old_value_is_read_again() -> None:
    numbers = count()
    recent: Recent[int] = Recent(0.0)
    assert [recent.get("a", lambda: next(numbers)) for _ in range(3)] == [0, 1, 2]
