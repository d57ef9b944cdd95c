"""The front matter: its keys and lists, and the README itself (Hub documentation, Spaces configuration reference)."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from assembler_runner.assembly.preflight.card_fixes import at_key, set_key
from assembler_runner.assembly.preflight.context import README, Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.tables import CARD_KEYS
from assembler_runner.core.fixes import Edit, Fix

MAX_OAUTH_MINUTES = 43_200


_LISTS = ("models", "datasets", "tags", "hf_oauth_scopes", "preload_from_hub")


CUSTOM_HEADERS = {
    "cross-origin-embedder-policy": ("unsafe-none", "require-corp", "credentialless"),
    "cross-origin-opener-policy": ("same-origin", "same-origin-allow-popups", "unsafe-none"),
    "cross-origin-resource-policy": ("same-site", "same-origin", "cross-origin"),
}


_REPOSITORY = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


_HUB_ADDRESS = re.compile(r"https?://(?:www\.)?huggingface\.co/(?:datasets/|models/)?([\w.-]+/[\w.-]+)/?")


_PRELOAD = re.compile(r"[\w.-]+(/[\w.-]+)?( [^\s,]+(,[^\s,]+)*( [0-9a-f]{40})?)?")


@rule(
    "card_list",
    "error",
    "readme",
    explanation="models, datasets, tags, hf_oauth_scopes and preload_from_hub are lists of texts.",
    example="tags: chat",
    has_fix=True,
)
def card_list(context: Context) -> Iterator[Found]:
    """Finds single values where the Hub wants a list."""
    for key in _LISTS:
        value = context.card.values.get(key)
        if value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            continue
        fix = None
        if isinstance(value, str):
            items = [item.strip() for item in value.split(",") if item.strip()]
            fix = set_key(context, key, json.dumps(items, ensure_ascii=False), title="Make it a list", safe=True)
        elif isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
            fix = set_key(
                context,
                key,
                json.dumps([str(item) for item in value], ensure_ascii=False),
                title="Make all texts",
                safe=False,
            )
        yield at_key(
            context,
            key,
            f"README.md has {key}: {quote(context.card.raw.get(key) or value)}, which is no list of texts.",
            f"Write {key}: [first, second], each as text.",
            fix,
            key=key,
        )


@rule(
    "card_repository_id",
    "warning",
    "readme",
    explanation="models and datasets hold ids such as owner/name; with an address the Hub shows no link.",
    example="models: [https://huggingface.co/openai/whisper-base]",
    has_fix=True,
)
def card_repository_id(context: Context) -> Iterator[Found]:
    """Finds ids of models and datasets that are none."""
    for key in ("models", "datasets"):
        value = context.card.values.get(key)
        for item in value[:100] if isinstance(value, list) else ():
            if not isinstance(item, str) or _REPOSITORY.fullmatch(item):
                continue
            match = _HUB_ADDRESS.fullmatch(item)
            line = _line_with(context, key, item)
            fix = (
                Fix(f"Write {match[1]}", True, (Edit(README, "replace", line, item, match[1]),))
                if match and line
                else None
            )
            yield Found(
                f"README.md has {quote(item)} in {key}, which is no id.",
                README,
                line or context.card.lines.get(key),
                "Write it as owner/name.",
                {"key": key, "value": clean(item)},
                fix,
            )


def _line_with(context: Context, key: str, item: str) -> int | None:
    start = context.card.lines.get(key)
    rows = (context.text(README) or "").split("\n")
    return (
        next((number for number in range(start, min(len(rows), start + 200) + 1) if item in rows[number - 1]), None)
        if start
        else None
    )


@rule(
    "card_oauth_expiration",
    "error",
    "readme",
    explanation="hf_oauth_expiration_minutes is a number up to 43200, which is 30 days.",
    example="hf_oauth_expiration_minutes: 100000",
    has_fix=True,
)
def card_oauth_expiration(context: Context) -> Iterator[Found]:
    """Finds a lifetime of OAuth tokens that the Hub refuses."""
    value = context.card.values.get("hf_oauth_expiration_minutes")
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_OAUTH_MINUTES):
        return
    key = "hf_oauth_expiration_minutes"
    fix = set_key(context, key, str(MAX_OAUTH_MINUTES), title=f"Write {MAX_OAUTH_MINUTES}", safe=False)
    yield at_key(
        context,
        key,
        f"README.md has {key}: {quote(value)}.",
        f"Write a number from 1 to {MAX_OAUTH_MINUTES}.",
        fix,
        value=clean(value),
    )


@rule(
    "card_custom_headers",
    "error",
    "readme",
    explanation="custom_headers may set the three cross-origin policies only, with their own values.",
    example="custom_headers: {x-frame-options: deny}",
)
def card_custom_headers(context: Context) -> Iterator[Found]:
    """Finds headers that the Hub does not set."""
    value = context.card.values.get("custom_headers")
    if value is None:
        return
    wrong = (
        value
        if not isinstance(value, dict)
        else {
            key: inner for key, inner in value.items() if key not in CUSTOM_HEADERS or inner not in CUSTOM_HEADERS[key]
        }
    )
    if wrong:
        shown = ", ".join(map(clean, wrong)) if isinstance(wrong, dict) else clean(wrong)
        yield at_key(
            context,
            "custom_headers",
            f"README.md has custom_headers that the Hub does not set: {quote(shown)}.",
            f"Only these, in lower case: {', '.join(CUSTOM_HEADERS)}.",
        )


@rule(
    "card_preload",
    "error",
    "readme",
    explanation="An entry of preload_from_hub is a repository, then file names with commas, then a commit.",
    example="preload_from_hub: [https://huggingface.co/gpt2]",
)
def card_preload(context: Context) -> Iterator[Found]:
    """Finds entries of preload_from_hub that cannot be read."""
    value = context.card.values.get("preload_from_hub")
    for item in value[:100] if isinstance(value, list) else ():
        if isinstance(item, str) and not _PRELOAD.fullmatch(item.strip()):
            yield at_key(
                context,
                "preload_from_hub",
                f"README.md has {quote(item)} in preload_from_hub.",
                'Write "owner/name file1,file2 commit"; files and commit may be left out.',
                value=clean(item),
            )


@rule(
    "card_key_misspelt",
    "warning",
    "readme",
    explanation="The Hub ignores keys that it does not know; this one differs from a known one by case or a letter.",
    example="colorfrom: blue",
    has_fix=True,
)
def card_key_misspelt(context: Context) -> Iterator[Found]:
    """Finds keys that are nearly those of the Hub."""
    plain = {re.sub(r"[_-]", "", key).lower(): key for key in CARD_KEYS}
    for key in context.card.values:
        if key in CARD_KEYS:
            continue
        same = plain.get(re.sub(r"[_-]", "", key).lower())
        near = same or next(iter(difflib.get_close_matches(key, CARD_KEYS, 1, cutoff=0.9)), None)
        if near is None or near in context.card.values:
            continue
        line = context.card.lines.get(key)
        fix = Fix(f"Write {near}", same is not None, (Edit(README, "replace", line, key, near),)) if line else None
        yield at_key(
            context,
            key,
            f"README.md has the key {quote(key)}, which the Hub ignores.",
            f"Write {near}.",
            fix,
            key=clean(key),
        )


@rule(
    "card_key_twice",
    "error",
    "readme",
    explanation="The Hub refuses front matter with the same key twice.",
    example="title: A, and title: B below it",
    has_fix=True,
)
def card_key_twice(context: Context) -> Iterator[Found]:
    """Finds keys that are written twice."""
    rows = (context.text(README) or "").removeprefix("\ufeff").split("\n")
    for key, first in context.card.repeated.items():
        written, last = rows[first - 1].rstrip("\r"), context.card.texts[key]
        one_line = bool(written.partition(":")[2].strip()) and bool(last.partition(":")[2].strip())
        fix = (
            Fix("Take the first one out", written == last, (Edit(README, "delete", first, written),))
            if one_line
            else None
        )
        yield at_key(
            context,
            key,
            f"README.md has the key {quote(key)} twice, in the lines {first} and {context.card.lines[key]}.",
            "Keep one of them.",
            fix,
            key=clean(key),
        )


@rule(
    "card_not_closed",
    "warning",
    "readme",
    explanation="Front matter ends with a line of three dashes; without it the Hub sees none.",
    example="--- and title: A, and no second ---",
)
def card_not_closed(context: Context) -> Iterator[Found]:
    """Finds front matter without an end."""
    if context.card.unclosed is None or not context.given(README):
        return
    rows = (context.text(README) or "").split("\n")[context.card.unclosed : context.card.unclosed + 2]
    if rows and re.match(r"[A-Za-z_]\w*:", rows[0]):
        yield Found(
            "The front matter of README.md has no end.", README, context.card.unclosed, "Put a line of --- below it."
        )


@rule(
    "readme_name",
    "info",
    "readme",
    explanation="The Hub reads README.md, written exactly so. A file that differs in case only is taken as the README.",
    example="readme.md",
)
def readme_name(context: Context) -> Iterator[Found]:
    """Finds a README whose name differs in case."""
    if README in context.files:
        return
    found = readme_of(context.files)
    if found is not None:
        yield Found(
            f"The README is named {quote(found)}; the Hub reads README.md.",
            found,
            None,
            "Name it README.md.",
            {"path": clean(found)},
        )


def readme_of(paths: Any) -> str | None:
    """Returns the path that is the README, as the Hub reads it or in another case; None for none."""
    names = [path for path in paths if path.lower() == "readme.md"]
    return README if README in names else min(names, default=None)
