"""Text of strangers in answers for agents: cleaned, without secrets, cut, and marked with a delimiter nobody can guess.

Logs, file names, requirement lines, READMEs and the words of a Hub are data. Some of it is written to steer the model
that reads it, so it stands in one place only: never inside of a sentence of the service.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TAIL = 4000
"""Most characters of a text of strangers in one answer; the end is kept."""

PLAIN_LENGTH, PLAIN_WORDS = 48, 5
"""Longest captured name that may stand in a sentence, and most words in it."""

CUT = 80
"""Length at which the sentences of findings cut captured texts."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Controls except tab and newline; soft hyphens, direction and zero-width characters, fillers, tag characters and
# selectors of variants, which carry hidden text; lone surrogates.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_QUOTED = re.compile(r'"([^"\n]*)"|(?<!\w)\'([^\'\n]*)\'(?!\w)|“([^”\n]*)”')
_NAME = re.compile(r"[A-Za-z0-9_@.~/-]+(?:[=<>!~]=[0-9A-Za-z.*]+)?")
_SECRET = re.compile(r"-----BEGIN.*?(?:-----END[^\n]*|\Z)|[^\s\"'`<>,;)]+", re.DOTALL)
_LONGEST, _MOST_TEXTS = 1000, 500
_WORDS = re.compile(r"[A-Za-z]{2,}")


def clean(text: str) -> str:
    """Returns a text without terminal sequences, invisible characters and secrets."""
    from assembler_runner.assembly.preflight.secrets import find_secrets

    shown = _HIDDEN.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    for secret in reversed(find_secrets(shown)):
        whole = _SECRET.match(shown, secret.position)
        end = whole.end() if whole else secret.position
        shown = f"{shown[: secret.position]}[secret]{shown[end:]}"
    return shown


def is_plain(text: str) -> bool:
    """Returns whether a captured text is a name, such as of a module, a file or a version, and no sentence."""
    if len(text) > PLAIN_LENGTH or not _NAME.fullmatch(text):
        return False
    return len(_WORDS.findall(text)) <= PLAIN_WORDS


@dataclass
class Quotes:
    """Captured texts that were taken out of sentences; each is named there by its number in brackets.

    Args:
        known: texts of the caller, which are taken out wherever they stand.
        texts: what was taken out.
    """

    known: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)

    def sentence(self, text: str | None, values: Any = None) -> str | None:
        """Returns a sentence of the service without captured texts that are no names.

        Args:
            text: the sentence.
            values: what was captured, by name; texts of it are taken out wherever they stand.
        """
        if text is None:
            return None
        for value in _texts_in([values, *self.known]):
            for form in (value, f"{value[: CUT - 1]}…"):
                if not is_plain(value) and form in text:
                    text = text.replace(form, self._number(value))
        return _QUOTED.sub(self._unquoted, clean(text).replace("\n", " "))

    def name(self, text: str | None) -> str | None:
        """Returns a name, such as the path of a file; its number in brackets if it is not plain."""
        return text if text is None or is_plain(text) else self._number(text)

    def _unquoted(self, found: re.Match[str]) -> str:
        inner = next(group for group in found.groups() if group is not None)
        if not inner or is_plain(inner) or re.fullmatch(r"\[\d+\]", inner):
            return found[0]
        return self._number(inner)

    def _number(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        """Returns the texts, each with its number."""
        return [f"[{number}] {' '.join(clean(text).split())[:200]}" for number, text in enumerate(self.texts, 1)]


@dataclass(frozen=True)
class Untrusted:
    """Text of strangers.

    Args:
        source: where it is from: `build_log`, `run_log`, `hub` or `input`.
        body: the text, not cleaned yet.
    """

    source: str
    body: str

    def to_json(self, most: int = TAIL) -> dict[str, Any]:
        """Returns the form of an answer: the end of the text between two delimiters that hold a random number.

        Args:
            most: most characters of the text.
        """
        text = clean(self.body).strip("\n")
        most = max(0, min(most, TAIL))
        tail = text[-most:] if most else ""
        mark = secrets.token_hex(4)
        shown = {"source": self.source, "text": f"<untrusted {mark}>\n{tail}\n</untrusted {mark}>"}
        return {**shown, "cut": True} if len(tail) < len(text) else shown


def texts_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the texts in the arguments of a call that are no names; not the contents of files.

    Args:
        arguments: the arguments as sent.
    """
    files = arguments.get("files")
    others: Any = [list(arguments), [value for name, value in arguments.items() if name != "files"]]
    found = _texts_in([others, list(files) if isinstance(files, dict) else files])
    return tuple(text for text in found if len(text) <= _LONGEST and not is_plain(text))[:_MOST_TEXTS]


def _texts_in(values: Any) -> list[str]:
    """Returns the texts in captured values, longest first, so that no part is taken out before the whole."""
    found: list[str] = []
    if isinstance(values, str):
        found = [values]
    elif isinstance(values, dict):
        found = [text for pair in values.items() for value in pair for text in _texts_in(value)]
    elif isinstance(values, list | tuple):
        found = [text for value in values for text in _texts_in(value)]
    return sorted({text for text in found if text.strip()}, key=len, reverse=True)
