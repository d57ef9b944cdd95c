"""Faults, declared as data: which request goes wrong, how often, and how."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from assembler_runner.devhub.wire import Answer, json_answer, text_answer

Kind = Literal["status", "drop_before", "drop_after", "hang", "garbage", "truncate"]


@dataclass
class Fault:
    """One thing that goes wrong.

    kind          what happens
    status        answers `status` with `body` and `headers`
    drop_before   closes the connection, the work is not done
    drop_after    does the work, then closes the connection without an answer
    hang          is silent for `seconds` or until `end`, then goes on as usual
    garbage       answers 200 with something that is not JSON
    truncate      does the work, then sends half of the answer and closes

    `seconds` delays every kind. `applied` lets status, hang and garbage strike after the work is done.
    `method` and `path` (a regular expression, searched in the decoded path) say which requests match,
    `account` whose; the first `after` of them pass unharmed, the next `times` (None: all) are hit.
    """

    kind: Kind = "status"
    method: str | None = None
    path: str = ""
    account: str | None = None
    times: int | None = 1
    after: int = 0
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    applied: bool = False
    passed: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        """Ends the wait of the requests that it has hit, and of all later ones."""
        self._ended.set()

    def wait(self) -> None:
        """Waits for `seconds`, or until it is ended."""
        self._ended.wait(self.seconds)

    @property
    def works_first(self) -> bool:
        """Whether the work is done before the fault strikes."""
        return self.applied or self.kind in ("drop_after", "truncate")

    def matches(self, method: str, path: str, account: str | None) -> bool:
        """Whether it is about this request."""
        return (
            self.method in (None, method) and self.account in (None, account) and re.search(self.path, path) is not None
        )

    def answer(self) -> Answer:
        """The answer of the kinds which make one up."""
        if self.kind == "garbage":
            return text_answer("<html>Something else answered.</html>", content_type="text/html")
        if isinstance(self.body, str):
            answer = text_answer(self.body, self.status)
        else:
            answer = json_answer(self.body or {"error": f"Injected fault {self.status}"}, self.status)
        answer.headers.update(self.headers)
        return answer


class Faults:
    """The faults in force, in the order they were declared; a request is hit by one at most."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._fired: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Declare faults."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Let everything go right again."""
        with self._lock:
            self._faults.clear()

    def end(self) -> None:
        """Ends the wait of all requests that were hit."""
        with self._lock:
            for fault in self._fired:
                fault.end()

    def all(self) -> list[Fault]:
        """The declared faults, spent ones included."""
        with self._lock:
            return list(self._faults)

    def take(self, method: str, path: str, account: str | None) -> Fault | None:
        """The fault which hits this request; counts it."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path, account):
                    continue
                if fault.passed < fault.after:
                    fault.passed += 1
                elif fault.times is None or fault.fired < fault.times:
                    fault.fired += 1
                    self._fired.append(fault)
                    return fault
        return None
