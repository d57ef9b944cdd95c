"""The card of a Space: the YAML front matter of its README.md, which configures how the Hub runs it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from assembler_runner.assembly.preflight.quoting import quote
from assembler_runner.core.errors import Finding

if TYPE_CHECKING:
    from yaml import SafeLoader as _SafeLoader
else:
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

README = "README.md"
MAX_BYTES = 64 * 1024
"""Largest front matter that is parsed; a megabyte of YAML takes seconds."""

_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?\s*---[ \t]*(\r\n|\n|\r)")
_CLOSING = re.compile(rb"^---[ \t]*(?=\r|\n|\Z)", re.MULTILINE)
_SDK_LINE = re.compile(rb"""^(["']?sdk["']?[ \t]*:[ \t]*)[^\r\n#]*[^\r\n# \t]""", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_SHOWN = 200
_DECIDES_HOW_IT_RUNS = ("app_file", "app_port", "python_version", "sdk_version")


MAX_DEPTH = 50
MAX_NUMBER = 100
_INT = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)\Z")


_NOT_RESOLVED = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")


class _Loader(_SafeLoader):
    """Knows no numbers of base 60, as the Hub's reader: 1:30 is text. They would become numbers of any length.

    Numbers with a fraction are versions here, and 3.10 is not 3.1: they stay text.
    """

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] not in _NOT_RESOLVED]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Returns a number of any form that was written in few characters."""
        text = self.construct_scalar(node)
        if len(text) > MAX_NUMBER or ":" in text or not text.strip("_"):
            raise _refusal("a number is not valid", node)
        if node.tag.endswith(":int"):
            return int(self.construct_yaml_int(node))
        return float(self.construct_yaml_float(node))


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _check_events(text: str) -> None:
    """Refuses, before anything is made of it, what would become much larger or deeper than it is.

    A few lines with aliases can become gigabytes; nodes are made by recursion, of which C takes less than Python.
    """
    depth = 0
    for event in yaml.parse(text, _SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases are not taken", event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _refusal(f"values are nested more than {MAX_DEPTH} deep", event)


def _refusal(problem: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


class _Dumper(yaml.SafeDumper):
    """Writes text with newlines or control characters on one line, with escapes that all YAML parsers support."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # A lone surrogate is no character; not every YAML reader takes its escape.
    text = text.encode("utf-8", "replace").decode()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _CONTROL.search(text) else None)


_Dumper.add_representer(str, _represent_text)


@dataclass(frozen=True)
class GivenCard:
    """The front matter of a given README.

    Args:
        values: its keys and values.
        findings: its problems.
        start: offset of the first byte after the opening line; None without front matter.
        end: offset of the closing line.
    """

    values: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    start: int | None = None
    end: int = 0


def read_card(readme: bytes) -> GivenCard:
    """Reads the front matter of a README.

    Args:
        readme: the bytes of README.md.
    Returns:
        The front matter; problems are findings, not exceptions.
    """
    opening = _OPENING.match(readme)
    closing = _CLOSING.search(readme, opening.end()) if opening else None
    if opening is None or closing is None:
        return GivenCard()
    start, end = opening.end(), closing.start()
    first_line = readme.count(b"\n", 0, start) + 1
    if end - start > MAX_BYTES:
        return GivenCard(findings=(_invalid(f"has more than {MAX_BYTES} bytes", first_line),))
    try:
        text = readme[start:end].decode("utf-8")
        _check_events(text)
        values = yaml.load(text, _Loader)  # noqa: S506 (it is a SafeLoader)
    except UnicodeDecodeError:
        return GivenCard(findings=(_invalid("is not UTF-8", first_line),))
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = first_line + (mark.line if mark else 0)
        return GivenCard(
            findings=(_invalid(f"is not valid YAML ({(getattr(problem, 'problem', None) or 'syntax')[:80]})", line),)
        )
    # What the library's constructors raise for an explicit tag that does not fit, such as !!timestamp x.
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return GivenCard(findings=(_invalid("cannot be read", first_line),))
    if values is None:
        values = {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return GivenCard(findings=(_invalid("is not a mapping of keys to values", first_line),))
    return GivenCard(values, (), start, end)


def with_sdk(readme: bytes, given: GivenCard, space_type: str, sdk: str) -> tuple[bytes, GivenCard]:
    """Replaces the value of sdk by the Hub's name of the SDK, if it is the name of the type or differs in case only.

    Args:
        readme: the bytes of README.md.
        given: the result of :func:`read_card`.
        space_type: the type of the Space.
        sdk: the SDK that the Hub runs.
    Returns:
        README.md and its front matter, changed or unchanged.
    """
    written = given.values.get("sdk")
    if not isinstance(written, str) or written == sdk or written.strip().lower() not in (space_type, sdk):
        return readme, given
    assert given.start is not None
    block = _SDK_LINE.sub(rb"\g<1>" + sdk.encode(), readme[given.start : given.end], count=1)
    whole = readme[: given.start] + block + readme[given.end :]
    changed = read_card(whole)
    return (whole, changed) if changed.values.get("sdk") == sdk else (readme, given)


def complete_readme(
    readme: bytes, given: GivenCard, card: Mapping[str, Any], asked: Collection[str] = ()
) -> tuple[bytes, list[Finding]]:
    """Adds missing keys to the front matter of a README; its text and existing keys do not change.

    Args:
        readme: the bytes of README.md; empty for a new one.
        given: the result of :func:`read_card`.
        card: the keys and values that the Space requires.
        asked: names of the options that the request sets; only these can contradict the README.
    Returns:
        The new bytes, and one finding per contradiction.
    """
    if given.findings:
        return readme, list(given.findings)
    findings = _contradictions(given.values, card, asked)
    missing = {key: value for key, value in card.items() if key not in given.values}
    if not missing:
        return readme, findings
    if given.start is None:
        has_bom = readme.startswith(codecs.BOM_UTF8)
        block = b"---\n" + _dump(missing) + b"---\n"
        text = readme[len(codecs.BOM_UTF8) :] if has_bom else readme
        return (codecs.BOM_UTF8 if has_bom else b"") + block + (b"\n" + text if text else b""), findings
    newline = b"\r\n" if b"\r\n" in readme[: given.start] else b"\n"
    added = _dump(missing).replace(b"\n", newline)
    whole = readme[: given.end] + added + readme[given.end :]
    if read_card(whole).values != {**given.values, **missing}:
        # The YAML style does not allow to append lines, such as {a: b}.
        block = _dump({**given.values, **missing}).replace(b"\n", newline)
        whole = readme[: given.start] + block + readme[given.end :]
    return whole, findings


def _contradictions(given: Mapping[str, Any], card: Mapping[str, Any], asked: Collection[str]) -> list[Finding]:
    findings = []
    if "sdk" in given and given["sdk"] != card["sdk"]:
        message = f"README.md says sdk: {quote(given['sdk'])}, but this type is published with sdk: {card['sdk']}."
        hint = f"Remove the line sdk from README.md, or write sdk: {card['sdk']}."
        values = {"sdk": str(given["sdk"])[:_SHOWN]}
        findings.append(Finding("sdk_mismatch", message, path=README, hint=hint, values=values))
    for key in _DECIDES_HOW_IT_RUNS:
        if key in asked and key in given and key in card and str(given[key]) != str(card[key]):
            message = f"README.md says {key}: {quote(given[key])}, the request asks for {quote(card[key])}."
            hint = f"Set {key} in one of the two places only."
            values = {"given": str(given[key])[:_SHOWN], "asked": str(card[key])[:_SHOWN]}
            findings.append(Finding("card_mismatch", message, path=README, hint=hint, values=values))
    return findings


def _dump(values: Mapping[str, Any]) -> bytes:
    lines = (_known_line(key, value) if _is_short(value) else _line(key, value) for key, value in values.items())
    return "".join(lines).encode("utf-8")


def _line(key: str, value: Any) -> str:
    # The writer in C would escape emojis.
    return yaml.dump({key: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


_known_line = lru_cache(maxsize=1024, typed=True)(_line)
"""Most values are those of the type; typed, because True == 1."""


def _is_short(value: Any) -> bool:
    return isinstance(value, (bool, int)) or (isinstance(value, str) and len(value) <= MAX_NUMBER)


def _invalid(what: str, line: int) -> Finding:
    hint = "Correct the lines between the two ---, or leave them out to get them generated."
    return Finding("invalid_front_matter", f"The front matter of README.md {what}.", path=README, line=line, hint=hint)
