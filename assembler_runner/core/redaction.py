"""Redacts secrets in logs: by value while the value is known, by fingerprint when it is no longer stored.

The values of a Space's secrets are deleted once they have been sent to the target. Only an encrypted fingerprint of
each remains: its length, the sum of its character codes, and a salted digest. That is enough to recognize the secret
when an app prints it, but not to recover it.
"""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import accumulate

from assembler_runner.core.vault import Vault

SHORTEST = 4
"""Minimum length of a secret to be redacted: shorter ones occur in almost every line."""

REPLACEMENT = "[secret]"
_SALT = "salt"


@dataclass(frozen=True)
class Fingerprint:
    """Identifies a secret: its length, the sum of its character codes, its salted digest."""

    length: int
    total: int
    digest: str


class Redactor:
    """Redacts known secrets in texts.

    Args:
        plain: secrets whose value is known.
        salt: the salt of the fingerprints.
        fingerprints: fingerprints of secrets whose value is not stored.
    """

    def __init__(self, plain: Iterable[str] = (), salt: str = "", fingerprints: Iterable[Fingerprint] = ()) -> None:
        self._plain = sorted({part for text in plain for part in _parts(text)}, key=len, reverse=True)
        self._salt = salt
        # Longest first: a shorter secret may be a part of a longer one.
        self._by_length: dict[int, dict[int, set[str]]] = {}
        for fingerprint in sorted(fingerprints, key=lambda fingerprint: fingerprint.length, reverse=True):
            self._by_length.setdefault(fingerprint.length, {}).setdefault(fingerprint.total, set()).add(
                fingerprint.digest
            )

    def redact(self, text: str) -> str:
        """Returns the text with secrets replaced by REPLACEMENT."""
        for secret in self._plain:
            text = text.replace(secret, REPLACEMENT)
        for length, totals in self._by_length.items():
            text = self._without(length, totals, text)
        return text

    def _without(self, length: int, totals: Mapping[int, Set[str]], text: str) -> str:
        """Redacts all secrets of one length, in one pass.

        A rolling sum is cheap; the digest is computed only where the sum matches.
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


def add_fingerprints(vault: Vault, encrypted: str | None, secrets: Mapping[str, str]) -> str | None:
    """Adds the fingerprints of further secrets.

    Args:
        vault: encrypts the fingerprints.
        encrypted: the existing fingerprints, encrypted; None if there are none.
        secrets: the new secrets, by name.
    Returns:
        All fingerprints, encrypted; None if there are none.
    Raises:
        UnreadableSecret: the existing fingerprints were encrypted with an unknown key.
    """
    if not secrets:
        return encrypted
    known = vault.decrypt(encrypted) if encrypted else {_SALT: randomness.token_hex(16)}
    for text in secrets.values():
        for part in _parts(text):
            known[_digest(known[_SALT], part)] = f"{len(part)} {sum(map(ord, part))}"
    return vault.encrypt(known)


def redactor(vault: Vault, encrypted: str | None, plain: Iterable[str] = ()) -> Redactor:
    """Returns a redactor for all known secrets.

    Args:
        vault: decrypts the fingerprints.
        encrypted: encrypted fingerprints, or None.
        plain: secrets whose value is known.
    Raises:
        UnreadableSecret: the fingerprints were encrypted with an unknown key.
    """
    known = vault.decrypt(encrypted) if encrypted else {}
    salt = known.pop(_SALT, "")
    fingerprints = []
    for digest, numbers in known.items():
        length, total = map(int, numbers.split())
        fingerprints.append(Fingerprint(length, total, digest))
    return Redactor(plain, salt, fingerprints)


def _parts(text: str) -> list[str]:
    """Returns the lines of a secret: a log contains them one by one."""
    return [line.strip() for line in text.splitlines() if len(line.strip()) >= SHORTEST]


def _digest(salt: str, text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=bytes.fromhex(salt), digest_size=16).hexdigest()
