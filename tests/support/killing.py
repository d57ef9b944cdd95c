"""A worker that dies at a chosen point: before or after a call to the target, or a write of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from assembler_runner.publishing import checkpoints
from assembler_runner.targets import Target
from assembler_runner.targets.realm_targets import RealmTargets
from tests.conftest import Service

READING = {"head", "find", "commits", "files_at", "open_file", "variables", "machine"}


class Killed(BaseException):
    """Not caught by any code of the worker, like kill -9."""


class Executioner:
    """Counts the points that a worker passes, and kills the worker at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0
        self.where = ""

    def point(self, name: str) -> None:
        """Kills at the chosen point."""
        self.passed += 1
        if self.passed == self.at:
            self.where = name
            raise Killed(name)

    def around(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """Adds a point before and after a call, also for calls that only read."""

        def done(*arguments: Any, **more: Any) -> Any:
            if name not in READING:
                self.point(f"before {name}")
            result = act(*arguments, **more)
            self.point(f"after {name}")
            return result

        return done


class _Watched:
    def __init__(self, target: Target, executioner: Executioner) -> None:
        self._target, self._executioner = target, executioner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._executioner.around(name, found) if callable(found) else found


@contextmanager
def killed_at(number: int) -> Iterator[Executioner]:
    """Kills a worker that runs inside the block at the point with this number."""
    executioner = Executioner(number)
    find = RealmTargets.find
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RealmTargets, "find", lambda *arguments: _Watched(find(*arguments), executioner))  # type: ignore[arg-type]
        for name in ("write", "finish"):
            patch.setattr(checkpoints, name, executioner.around(name, getattr(checkpoints, name)))
        yield executioner


def every_point(service: Service, prepare: Callable[[int], str], check: Callable[[int, dict[str, Any]], None]) -> int:
    """Kills a worker at its first point, another one at its second point, and so on.

    Args:
        service: the service.
        prepare: makes the request for a round; returns its id.
        check: looks at what came of it.
    Returns:
        How many points there were.
    """
    for number in range(1, 200):
        request_id = prepare(number)
        with killed_at(number) as executioner:
            try:
                request = service.work(request_id)
            except Killed:
                request = {}
        if not executioner.where:
            check(number, request)
            return number - 1
        service.let_lease_run_out(request_id)
        request = service.work(request_id)
        assert request["status"] == "succeeded", (executioner.where, request)
        try:
            check(number, request)
        except AssertionError as problem:
            raise AssertionError(f"killed {executioner.where}") from problem
    raise AssertionError("it never came to an end")
