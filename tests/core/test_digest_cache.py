"""Results are found again by content, and the oldest are dropped."""

from __future__ import annotations

from assembler_runner.core.digest_cache import DigestCache


def test_a_result_is_computed_once_for_the_same_bytes() -> None:
    cache: DigestCache[object] = DigestCache(2)
    first = cache.get(b"a", object)
    assert cache.get(b"a", object) is first
    assert cache.get(b"b", object) is not first


def test_what_was_not_used_for_longest_is_dropped() -> None:
    cache: DigestCache[object] = DigestCache(2)
    first, second = cache.get(b"a", object), cache.get(b"b", object)
    assert cache.get(b"a", object) is first
    cache.get(b"c", object)
    assert cache.get(b"a", object) is first
    assert cache.get(b"b", object) is not second
