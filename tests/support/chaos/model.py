"""What is remembered of a run: what was sent, what was done to the service, what came of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .counting import Counts


@dataclass
class Sent:
    """One request as its caller knows it; sent more than once only with a key.

    `doomed`: the Hub refuses its commit once, so it may end with the Hub's words.
    `changes`: the accepted changes of its Space by request, and `steps`: all that were sent, by what their files say.
    `foreign`: somebody else has committed to the Space.
    """

    tag: str
    body: dict[str, Any]
    key: str | None = None
    doomed: bool = False
    accepted: set[str] = field(default_factory=set)
    cancel_sent: bool = False
    space_id: str | None = None
    changes: set[str] = field(default_factory=set)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    delete_sent: bool = False
    foreign: bool = False


@dataclass
class Ledger:
    """Everything that was sent, and how often was answered what; shared by threads."""

    sent: list[Sent] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sent: Sent) -> None:
        """Remembers a request, before it is sent."""
        with self.lock:
            self.sent.append(sent)

    def answered(self, what: str, status: int | None, text: str, *, fine: tuple[int, ...]) -> None:
        """Counts an answer; keeps what should not have been answered."""
        with self.lock:
            self.answers[f"{what} {status or 'no answer'}"] += 1
            if status is not None and status not in fine:
                self.bad.append(f"{what}: {status} {text[:500]}")

    def accepted_ids(self) -> list[str]:
        """The requests that were accepted so far."""
        with self.lock:
            return sorted(id for sent in self.sent for id in sent.accepted | sent.changes)

    def made(self) -> list[Sent]:
        """What is known to have a Space that nobody has deleted."""
        with self.lock:
            return [sent for sent in self.sent if sent.space_id and not sent.delete_sent]


@dataclass(frozen=True)
class Result:
    """What was done in one run, and what came of it."""

    database: str
    broker: str
    seed: int
    kills: int
    stops: int
    flushes: int
    extra_messages: int
    hub_faults: int
    counts: Counts
    answers: dict[str, int]
    bad_answers: list[str]
    report: str
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing at all went wrong."""
        return not self.counts.problems and not self.bad_answers
