"""The front matter: how a Space is shown (Hub documentation, Spaces configuration reference)."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator

from assembler_runner.assembly.preflight.card_fixes import at_key, set_key
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.tables import COLORS, LICENSES

MAX_DESCRIPTION = 60


_BOOLEANS = ("pinned", "fullWidth", "hf_oauth", "disable_embedding")


_TRUE = {
    "true": "true",
    "yes": "true",
    "on": "true",
    "1": "true",
    "false": "false",
    "no": "false",
    "off": "false",
    "0": "false",
}


@rule(
    "card_color",
    "error",
    "readme",
    explanation="The Hub knows eight colours for a card and refuses a README with another one.",
    example="colorTo: teal",
    has_fix=True,
)
def card_color(context: Context) -> Iterator[Found]:
    """Finds colours that the Hub does not know."""
    for key in ("colorFrom", "colorTo"):
        value = context.card.values.get(key)
        if value is None or value in COLORS:
            continue
        name = str(value).strip().lower()
        known = {
            "grey": "gray",
            "violet": "purple",
            "orange": "yellow",
            "teal": "green",
            "cyan": "blue",
            "black": "gray",
        }
        nearest = (
            name
            if name in COLORS
            else known.get(name) or next(iter(difflib.get_close_matches(name, COLORS, 1)), "blue")
        )
        same = name == nearest or (name, nearest) == ("grey", "gray")
        fix = set_key(context, key, nearest, title=f"Write {key}: {nearest}", safe=same)
        message = f"README.md has {key}: {quote(value)}, which is no colour of the Hub."
        yield at_key(context, key, message, f"Use one of: {', '.join(COLORS)}.", fix, key=key, value=clean(value))


@rule(
    "card_emoji",
    "error",
    "readme",
    explanation="The Hub takes exactly one emoji; a word, a letter or several emojis are refused.",
    example="emoji: Quiz",
    has_fix=True,
)
def card_emoji(context: Context) -> Iterator[Found]:
    """Finds an emoji that is none."""
    value = context.card.values.get("emoji")
    if value is None or is_emoji(value):
        return
    fix = set_key(context, "emoji", "🚀", title="Write emoji: 🚀", safe=False)
    yield at_key(
        context,
        "emoji",
        f"README.md has emoji: {quote(value)}, which is not one emoji.",
        "Put a single emoji there, such as 🚀, or leave the line out.",
        fix,
        value=clean(value),
    )


def is_emoji(value: object) -> bool:
    """Whether a value is text that is shown as one emoji."""
    if not isinstance(value, str):
        return False
    text = value.strip()
    if not text or len(text) > 16:
        return False
    if re.fullmatch(r"[0-9#*]\ufe0f?\u20e3", text):
        return True
    flags = [0x1F1E6 <= ord(character) <= 0x1F1FF for character in text]
    if all(flags):
        return len(text) == 2
    joined = text.split("\u200d")
    return all(_is_one_symbol(part) for part in joined)


def _is_one_symbol(text: str) -> bool:
    bases = [
        character
        for character in text
        if not (
            0x1F3FB <= ord(character) <= 0x1F3FF
            or 0xE0020 <= ord(character) <= 0xE007F
            or character in "\ufe0e\ufe0f\u20e3"
        )
    ]
    if not bases:
        return bool(text) and 0x1F3FB <= ord(text[0]) <= 0x1F3FF
    return len(bases) == 1 and ord(bases[0]) > 0xA8 and unicodedata.category(bases[0]) in ("So", "Sm", "Po", "Cn", "Sk")


@rule(
    "card_short_description",
    "error",
    "readme",
    explanation="The Hub refuses a short_description of more than 60 characters.",
    example="short_description: (67 characters)",
    has_fix=True,
)
def card_short_description(context: Context) -> Iterator[Found]:
    """Finds a description that is too long."""
    value = context.card.values.get("short_description")
    if not isinstance(value, str) or len(value) <= MAX_DESCRIPTION:
        return
    cut = value[: MAX_DESCRIPTION + 1].rpartition(" ")[0] or value[:MAX_DESCRIPTION]
    shorter = cut.rstrip(" ,;:-–—") or value[:MAX_DESCRIPTION].strip()
    fix = set_key(context, "short_description", json.dumps(shorter, ensure_ascii=False), title="Shorten it", safe=False)
    message = f"The short_description has {len(value)} characters; the Hub takes {MAX_DESCRIPTION}."
    yield at_key(context, "short_description", message, "Shorten it.", fix, length=len(value))


@rule(
    "card_text",
    "warning",
    "readme",
    explanation="The Hub wants text here; YAML reads bare numbers, dates, yes and no as something else.",
    example="title: 2048",
    has_fix=True,
)
def card_text(context: Context) -> Iterator[Found]:
    """Finds titles and other texts that YAML reads as something else."""
    for key in ("title", "short_description", "thumbnail", "license", "app_build_command"):
        value = context.card.values.get(key)
        raw = context.card.raw.get(key, "")
        if value is None or isinstance(value, str) or (key == "license" and isinstance(value, list)):
            continue
        single = not isinstance(value, (dict, list)) and raw
        fix = (
            set_key(context, key, json.dumps(raw, ensure_ascii=False), title="Put it in quotes", safe=True)
            if single
            else None
        )
        yield at_key(
            context,
            key,
            f"README.md has {key}: {quote(raw or value)}, which YAML does not read as text.",
            "Put it in quotes.",
            fix,
            key=key,
        )


@rule(
    "card_boolean",
    "error",
    "readme",
    explanation="pinned, fullWidth, hf_oauth and disable_embedding are true or false; the Hub refuses other values.",
    example='pinned: "false"',
    has_fix=True,
)
def card_boolean(context: Context) -> Iterator[Found]:
    """Finds switches that are neither true nor false."""
    for key in _BOOLEANS:
        value = context.card.values.get(key)
        if value is None or isinstance(value, bool):
            continue
        meant = _TRUE.get(str(value).strip().lower())
        fix = set_key(context, key, meant, title=f"Write {key}: {meant}", safe=True) if meant else None
        yield at_key(
            context,
            key,
            f"README.md has {key}: {quote(value)}, which is neither true nor false.",
            f"Write {key}: true or {key}: false, without quotes.",
            fix,
            key=key,
            value=clean(value),
        )


@rule(
    "card_header",
    "error",
    "readme",
    explanation="header is mini or default; the Hub refuses other values.",
    example="header: none",
    has_fix=True,
)
def card_header(context: Context) -> Iterator[Found]:
    """Finds a header that the Hub does not know."""
    value = context.card.values.get("header")
    if value is not None and value not in ("mini", "default"):
        name = str(value).strip().lower()
        known = name in ("mini", "default")
        fix = set_key(
            context, "header", name if known else "mini", title=f"Write header: {name if known else 'mini'}", safe=known
        )
        yield at_key(
            context, "header", f"README.md has header: {quote(value)}.", "Use mini or default.", fix, value=clean(value)
        )


@rule(
    "card_license",
    "warning",
    "readme",
    explanation="The Hub knows licences by fixed identifiers, such as apache-2.0; others belong under license: other.",
    example="license: Apache License 2.0",
    has_fix=True,
)
def card_license(context: Context) -> Iterator[Found]:
    """Finds licences that the Hub does not know."""
    value = context.card.values.get("license")
    if not isinstance(value, str) or value in LICENSES or not value.strip():
        return
    name = re.sub(r"[\s_]+", "-", value.strip().lower())
    other = {
        "apache": "apache-2.0",
        "apache2": "apache-2.0",
        "apache-2": "apache-2.0",
        "apache-license-2.0": "apache-2.0",
        "gplv3": "gpl-3.0",
        "gpl3": "gpl-3.0",
        "gplv2": "gpl-2.0",
        "agplv3": "agpl-3.0",
        "mit-license": "mit",
        "lgplv3": "lgpl-3.0",
        "cc0": "cc0-1.0",
    }.get(name)
    near = name if name in LICENSES else other
    fix = set_key(context, "license", near, title=f"Write license: {near}", safe=True) if near else None
    hint = f"Write license: {near or 'other'}." if near else "Use an identifier such as mit or apache-2.0, or other."
    yield at_key(
        context,
        "license",
        f"README.md has license: {quote(value)}, which the Hub does not know.",
        hint,
        fix,
        value=clean(value),
    )


@rule(
    "card_thumbnail",
    "warning",
    "readme",
    explanation="thumbnail is the address of a picture; the Hub does not show a path in the Space.",
    example="thumbnail: images/cover.png",
)
def card_thumbnail(context: Context) -> Iterator[Found]:
    """Finds a thumbnail that is no address."""
    value = context.card.values.get("thumbnail")
    if isinstance(value, str) and value and not value.startswith(("https://", "http://")):
        yield at_key(
            context,
            "thumbnail",
            f"README.md has thumbnail: {quote(value)}, which is no address.",
            "Write the whole address, beginning with https://.",
            value=clean(value),
        )
