"""Secrets taken out of logs: by themselves where they are at hand, by marks where they are not kept any more.

The values of a Space's secrets are forgotten when they have been sent. What stays is a mark of each, sealed: its
length, the sum of its characters, and a salted digest. That is enough to know it when an app prints it, not to tell it.
"""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Iterable, Mapping
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
        self._fingerprints = sorted(marks, key=lambda mark: mark.length, reverse=True)

    def redact(self, text: str) -> str:
        """Returns the text without secrets."""
        for secret in self._plain:
            text = text.replace(secret, REPLACEMENT)
        for mark in self._fingerprints:
            text = self._without(mark, text)
        return text

    def _without(self, mark: Fingerprint, text: str) -> str:
        start = 0
        while (found := self._find(mark, text, start)) is not None:
            text = text[:found] + REPLACEMENT + text[found + mark.length :]
            start = found + len(REPLACEMENT)
        return text

    def _find(self, mark: Fingerprint, text: str, start: int) -> int | None:
        if len(text) - start < mark.length:
            return None
        # The sum is told from its neighbour's in one step; only where it fits the digest is made.
        sums = list(accumulate((ord(character) for character in text[start:]), initial=0))
        for position in range(len(sums) - mark.length):
            if sums[position + mark.length] - sums[position] != mark.total:
                continue
            candidate = text[start + position : start + position + mark.length]
            if _digest(self._salt, candidate) == mark.digest:
                return start + position
        return None


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
