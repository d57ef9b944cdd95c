"""Secrets taken out of logs: by themselves where they are at hand, by marks where they are not kept any more.

The values of a Space's secrets are forgotten when they have been sent. What stays is a mark of each, sealed: its
length, the sum of its characters, and a salted digest. That is enough to know it when an app prints it, not to tell it.
"""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import accumulate

from assembler_runner.core.vault import Vault

SHORTEST = 4
"""Characters a secret must have to be taken out: shorter ones stand in every line."""

REPLACEMENT = "[secret]"
_SALT = "salt"


@dataclass(frozen=True)
class Fingerprint:
    """By what a secret is known: its length, the sum of its characters, its salted digest."""

    length: int
    total: int
    digest: str


class Redactor:
    """Takes known secrets out of texts.

    Args:
        plain: secrets that are at hand.
        salt: the salt of the marks.
        marks: marks of those that are not.
    """

    def __init__(self, plain: Iterable[str] = (), salt: str = "", marks: Iterable[Fingerprint] = ()) -> None:
        self._plain = sorted({part for text in plain for part in _parts(text)}, key=len, reverse=True)
        self._salt = salt
        # Longest first: a shorter secret may be a part of a longer one.
        self._by_length: dict[int, dict[int, set[str]]] = {}
        for mark in sorted(marks, key=lambda mark: mark.length, reverse=True):
            self._by_length.setdefault(mark.length, {}).setdefault(mark.total, set()).add(mark.digest)

    def redact(self, text: str) -> str:
        """Returns the text without secrets."""
        for secret in self._plain:
            text = text.replace(secret, REPLACEMENT)
        for length, totals in self._by_length.items():
            text = self._without(length, totals, text)
        return text

    def _without(self, length: int, totals: Mapping[int, Set[str]], text: str) -> str:
        """Takes out all secrets of one length, in one pass.

        The sum of each place is told from its neighbour's; only where it is that of a secret, a digest is made.
        """
        sums = list(accumulate(map(ord, text), initial=0))
        kept: list[str] = []
        done, place, last = 0, 0, len(text) - length
        while place <= last:
            digests = totals.get(sums[place + length] - sums[place])
            if digests is None or _digest(self._salt, text[place : place + length]) not in digests:
                place += 1
                continue
            kept += (text[done:place], REPLACEMENT)
            place += length
            done = place
        return "".join((*kept, text[done:]))


def add_fingerprints(vault: Vault, sealed: str | None, secrets: Mapping[str, str]) -> str | None:
    """Returns the sealed marks of more secrets than before.

    Args:
        vault: seals them.
        sealed: the marks so far, sealed; None if there are none.
        secrets: the new secrets, by name.
    Raises:
        UnreadableSecret: the marks so far were sealed with another key.
    """
    if not secrets:
        return sealed
    known = vault.decrypt(sealed) if sealed else {_SALT: randomness.token_hex(16)}
    for text in secrets.values():
        for part in _parts(text):
            known[_digest(known[_SALT], part)] = f"{len(part)} {sum(map(ord, part))}"
    return vault.encrypt(known)


def redactor(vault: Vault, sealed: str | None, plain: Iterable[str] = ()) -> Redactor:
    """Returns what takes out all known secrets.

    Args:
        vault: opens the marks.
        sealed: sealed marks, or None.
        plain: secrets that are at hand.
    Raises:
        UnreadableSecret: the marks were sealed with another key.
    """
    known = vault.decrypt(sealed) if sealed else {}
    salt = known.pop(_SALT, "")
    marks = []
    for digest, numbers in known.items():
        length, total = map(int, numbers.split())
        marks.append(Fingerprint(length, total, digest))
    return Redactor(plain, salt, marks)


def _parts(text: str) -> list[str]:
    """Returns the lines of a secret: a log shows them one by one."""
    return [line.strip() for line in text.splitlines() if len(line.strip()) >= SHORTEST]


def _digest(salt: str, text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=bytes.fromhex(salt), digest_size=16).hexdigest()
