"""README.md and its front matter: the limits that the Hub has (Hub documentation, Spaces configuration reference)."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from assembler_runner.assembly.preflight.context import README, Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.tables import CARD_KEYS, COLORS, HARDWARE, LICENSES
from assembler_runner.fixes import Edit, Fix

MAX_DESCRIPTION = 60
MAX_OAUTH_MINUTES = 43_200
_BOOLEANS = ("pinned", "fullWidth", "hf_oauth", "disable_embedding")
_LISTS = ("models", "datasets", "tags", "hf_oauth_scopes", "preload_from_hub")
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
_HEADERS = {
    "cross-origin-embedder-policy": ("unsafe-none", "require-corp", "credentialless"),
    "cross-origin-opener-policy": ("same-origin", "same-origin-allow-popups", "unsafe-none"),
    "cross-origin-resource-policy": ("same-site", "same-origin", "cross-origin"),
}
_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")
_SDK_VERSION = re.compile(r"\d+(\.\d+){0,3}([ab]|rc|\.?dev|\.post|-?beta\.?|-?alpha\.?)?\d*")
_TIMEOUT = re.compile(r"\d+(\.\d+)? ?(s|m|h|d|sec|secs|seconds?|min|mins|minutes?|hours?|days?)?", re.I)
_REPOSITORY = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_HUB_ADDRESS = re.compile(r"https?://(?:www\.)?huggingface\.co/(?:datasets/|models/)?([\w.-]+/[\w.-]+)/?")
_PRELOAD = re.compile(r"[\w.-]+(/[\w.-]+)?( [^\s,]+(,[^\s,]+)*( [0-9a-f]{40})?)?")


def set_key(context: Context, key: str, value: str, *, title: str, safe: bool) -> Fix | None:
    """Returns the fix that writes another value behind a key of the front matter; None where it has several lines."""
    line, text = context.card.lines.get(key), context.card.texts.get(key)
    if line is None or text is None or not context.card.raw.get(key):
        return None
    return Fix(title, safe, (Edit(README, "replace", line, text, f"{key}: {value}"),))


def drop_key(context: Context, key: str, *, safe: bool) -> Fix | None:
    """Returns the fix that takes a key with its value off the front matter; None where it has several lines."""
    line = context.card.lines.get(key)
    if line is None or not context.card.raw.get(key):
        return None
    return Fix(f"Take {clean(key)} out", safe, (Edit(README, "delete", line, context.card.texts[key]),))


def _at(context: Context, key: str, message: str, hint: str, fix: Fix | None = None, /, **values: Any) -> Found:
    return Found(message, README, context.card.lines.get(key), hint, values, fix)


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
        yield _at(context, key, message, f"Use one of: {', '.join(COLORS)}.", fix, key=key, value=clean(value))


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
    yield _at(
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
    yield _at(context, "short_description", message, "Shorten it.", fix, length=len(value))


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
        yield _at(
            context,
            key,
            f"README.md has {key}: {quote(raw or value)}, which YAML does not read as text.",
            "Put it in quotes.",
            fix,
            key=key,
        )


@rule(
    "card_app_port",
    "error",
    "readme",
    explanation="app_port is the port that the Hub asks the app on: a number from 1 to 65535.",
    example="app_port: http",
)
def card_app_port(context: Context) -> Iterator[Found]:
    """Finds an app_port that is no port."""
    value = context.card.values.get("app_port")
    text = value.strip() if isinstance(value, str) else None
    number = int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 7 else value
    if value is None or (isinstance(number, int) and not isinstance(number, bool) and 0 < number < 65_536):
        return
    yield _at(
        context,
        "app_port",
        f"README.md has app_port: {quote(value)}, which is no port.",
        "Write a number from 1 to 65535, such as app_port: 7860.",
        value=clean(value),
    )


@rule(
    "card_app_port_text",
    "warning",
    "readme",
    explanation="The Hub wants a number; in quotes the port is a text. It is taken as the number that was meant.",
    example='app_port: "8501"',
    has_fix=True,
)
def card_app_port_text(context: Context) -> Iterator[Found]:
    """Finds a port in quotes."""
    value = context.card.values.get("app_port")
    if (
        isinstance(value, str)
        and value.strip().isdecimal()
        and value.isascii()
        and len(value) < 7
        and 0 < int(value) < 65_536
    ):
        number = str(int(value))
        fix = set_key(context, "app_port", number, title=f"Write app_port: {number}", safe=True)
        yield _at(
            context,
            "app_port",
            f"README.md has app_port in quotes; it is taken as {number}.",
            "Write the number without quotes.",
            fix,
            port=int(number),
        )


@rule(
    "card_base_path",
    "error",
    "readme",
    explanation="base_path is the page that is shown first; the Hub wants a path that begins with a slash.",
    example="base_path: docs",
    has_fix=True,
)
def card_base_path(context: Context) -> Iterator[Found]:
    """Finds a base_path that does not begin with a slash."""
    value = context.card.values.get("base_path")
    if value is None or (isinstance(value, str) and value.startswith("/")):
        return
    path = "/" + str(value)
    written = path if re.fullmatch(r"/[\w./-]*", path) else json.dumps(path, ensure_ascii=False)
    is_url = "://" in path
    fix = None if is_url else set_key(context, "base_path", written, title=f"Write base_path: {clean(path)}", safe=True)
    yield _at(
        context,
        "base_path",
        f"README.md has base_path: {quote(value)}, which does not begin with /.",
        "Begin the path with /.",
        fix,
        value=clean(value),
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
        yield _at(
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
        yield _at(
            context, "header", f"README.md has header: {quote(value)}.", "Use mini or default.", fix, value=clean(value)
        )


@rule(
    "card_sdk",
    "error",
    "readme",
    explanation="The Hub runs gradio, docker and static; streamlit is published as docker by the type streamlit.",
    example="sdk: flask",
    has_fix=True,
)
def card_sdk(context: Context) -> Iterator[Found]:
    """Finds an SDK that neither the Hub nor a type of this service is."""
    value = context.card.values.get("sdk")
    if value is None or value in ("gradio", "docker", "static", "streamlit", context.space_type):
        return
    name = str(value).strip().lower()
    near = name if name in ("gradio", "docker", "static") else ""
    fix = set_key(context, "sdk", near, title=f"Write sdk: {near}", safe=True) if near else None
    yield _at(
        context,
        "sdk",
        f"README.md has sdk: {quote(value)}, which the Hub does not run.",
        f"Write sdk: {near or context.sdk}, or leave the line out.",
        fix,
        value=clean(value),
    )


@rule(
    "card_sdk_streamlit",
    "info",
    "readme",
    explanation="The Hub has no Streamlit SDK any more: such a Space is published as a Docker Space that runs Streamlit "
    "with the app_file, python_version and sdk_version of the README.",
    example="sdk: streamlit",
)
def card_sdk_streamlit(context: Context) -> Iterator[Found]:
    """Says what becomes of `sdk: streamlit`."""
    if str(context.card.values.get("sdk")).strip().lower() == "streamlit" and context.space_type == "streamlit":
        yield _at(
            context,
            "sdk",
            "README.md has sdk: streamlit; the Space is published with sdk: docker and runs Streamlit.",
            "Nothing to do.",
        )


@rule(
    "card_number_shortened",
    "warning",
    "readme",
    explanation="YAML reads 3.10 as the number 3.1. The Hub reads it that way, too; a version belongs in quotes.",
    example="python_version: 3.10",
    has_fix=True,
)
def card_number_shortened(context: Context) -> Iterator[Found]:
    """Finds versions that lose a zero because they are not in quotes."""
    for key in ("python_version", "sdk_version"):
        value, raw = context.card.values.get(key), context.card.raw.get(key, "")
        if isinstance(value, float) and re.fullmatch(r"\d+\.\d*0", raw) and not re.fullmatch(r"\d+\.0", raw):
            fix = set_key(context, key, f'"{raw}"', title=f'Write {key}: "{raw}"', safe=True)
            yield _at(
                context,
                key,
                f"README.md has {key}: {clean(raw)} without quotes, which YAML reads as {value}.",
                f'Write {key}: "{clean(raw)}".',
                fix,
                key=key,
                written=clean(raw),
            )


@rule(
    "card_python_version",
    "error",
    "readme",
    explanation="python_version is a Python 3 that the Hub has an image of, such as 3.12 or 3.12.4.",
    example='python_version: "2.7"',
    has_fix=True,
)
def card_python_version(context: Context) -> Iterator[Found]:
    """Finds a python_version that is no version of Python 3."""
    text = context.card.text_of("python_version")
    if "python_version" not in context.card.values or (text is not None and _PYTHON.fullmatch(text.strip())):
        return
    value = context.card.values["python_version"]
    if value is None:
        return
    match = re.search(r"3\.\d{1,2}(?:\.\d{1,2})?", str(value))
    named = re.fullmatch(r"(?i)(python|py|>=|==|~=|v|\s|-)*3\.\d{1,2}(\.\d{1,2})?(\.x)?\+?", str(value).strip())
    fix = None
    if match and named:
        fix = set_key(
            context, "python_version", f'"{match[0]}"', title=f'Write python_version: "{match[0]}"', safe=True
        )
    yield _at(
        context,
        "python_version",
        f"README.md has python_version: {quote(value)}, which is no version of Python 3.",
        'Write it as python_version: "3.12".',
        fix,
        value=clean(value),
    )


@rule(
    "card_sdk_version",
    "error",
    "readme",
    explanation="sdk_version is a published version of Gradio, such as 5.49.1.",
    example="sdk_version: latest",
)
def card_sdk_version(context: Context) -> Iterator[Found]:
    """Finds an sdk_version that is no version."""
    text = context.card.text_of("sdk_version")
    value = context.card.values.get("sdk_version")
    if value is None or context.sdk != "gradio" or (text is not None and _SDK_VERSION.fullmatch(text.strip())):
        return
    yield _at(
        context,
        "sdk_version",
        f"README.md has sdk_version: {quote(value)}, which is no version.",
        "Write a version such as 5.49.1, or leave the line out.",
        value=clean(value),
    )


@rule(
    "card_app_file_path",
    "error",
    "readme",
    explanation="app_file is a path below the top of the Space, with / between folders.",
    example="app_file: ../app.py",
    has_fix=True,
)
def card_app_file_path(context: Context) -> Iterator[Found]:
    """Finds an app_file that is absolute or leads out of the Space."""
    value = context.card.values.get("app_file")
    if value is None:
        return
    text = str(value)
    path = text.replace("\\", "/")
    wrong = (
        not isinstance(value, str)
        or path.startswith(("/", "../"))
        or "/../" in path
        or "\\" in text
        or not text.strip()
    )
    if not wrong:
        return
    meant = path.lstrip("/")
    fits = meant in context.files and re.fullmatch(r"[\w./-]+", meant)
    fix = set_key(context, "app_file", meant, title=f"Write app_file: {clean(meant)}", safe=True) if fits else None
    yield _at(
        context,
        "app_file",
        f"README.md has app_file: {quote(value)}, which is no path in the Space.",
        "Write the path from the top of the Space, such as app_file: web/app.py.",
        fix,
        value=clean(value),
    )


@rule(
    "card_app_file_kind",
    "error",
    "readme",
    explanation="A Gradio Space starts with a Python file, a static one with an HTML page.",
    example="sdk: gradio with app_file: notebook.ipynb",
)
def card_app_file_kind(context: Context) -> Iterator[Found]:
    """Finds an app_file of another kind than the SDK runs."""
    value = context.card.values.get("app_file")
    endings = {"gradio": (".py",), "static": (".html", ".htm")}.get(context.sdk)
    if isinstance(value, str) and value and endings and not value.lower().endswith(endings):
        yield _at(
            context,
            "app_file",
            f"README.md has app_file: {quote(value)}, but a {context.sdk} Space needs a {endings[0]} file.",
            f"Name a {endings[0]} file.",
            value=clean(value),
        )


@rule(
    "card_hardware",
    "warning",
    "readme",
    explanation="suggested_hardware names a flavour of the Hub; it is proposed to those who duplicate the Space.",
    example="suggested_hardware: gpu",
)
def card_hardware(context: Context) -> Iterator[Found]:
    """Finds hardware that the Hub does not have."""
    value = context.card.values.get("suggested_hardware")
    if value is not None and value not in HARDWARE:
        near = difflib.get_close_matches(str(value).lower(), HARDWARE, 3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Use one of: {', '.join(HARDWARE)}."
        yield _at(
            context,
            "suggested_hardware",
            f"README.md has suggested_hardware: {quote(value)}, which the Hub does not have.",
            hint,
            value=clean(value),
        )


@rule(
    "card_storage_ignored",
    "info",
    "readme",
    explanation="The Hub ignores suggested_storage.",
    example="suggested_storage: small",
    has_fix=True,
)
def card_storage_ignored(context: Context) -> Iterator[Found]:
    """Finds a key that has no effect any more."""
    if "suggested_storage" in context.card.values:
        fix = drop_key(context, "suggested_storage", safe=True)
        yield _at(
            context,
            "suggested_storage",
            "README.md has suggested_storage, which the Hub ignores.",
            "Leave it out.",
            fix,
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
    yield _at(
        context,
        "license",
        f"README.md has license: {quote(value)}, which the Hub does not know.",
        hint,
        fix,
        value=clean(value),
    )


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
        yield _at(
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
    "card_startup_timeout",
    "error",
    "readme",
    explanation="startup_duration_timeout is a length of time, such as 1h or 30m.",
    example="startup_duration_timeout: soon",
)
def card_startup_timeout(context: Context) -> Iterator[Found]:
    """Finds a start timeout that is no length of time."""
    value = context.card.values.get("startup_duration_timeout")
    if value is not None and not (isinstance(value, (str, int)) and _TIMEOUT.fullmatch(str(value).strip())):
        yield _at(
            context,
            "startup_duration_timeout",
            f"README.md has startup_duration_timeout: {quote(value)}.",
            "Write it as 30m or 1h.",
            value=clean(value),
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
    yield _at(
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
        else {key: inner for key, inner in value.items() if key not in _HEADERS or inner not in _HEADERS[key]}
    )
    if wrong:
        shown = ", ".join(map(clean, wrong)) if isinstance(wrong, dict) else clean(wrong)
        yield _at(
            context,
            "custom_headers",
            f"README.md has custom_headers that the Hub does not set: {quote(shown)}.",
            f"Only these, in lower case: {', '.join(_HEADERS)}.",
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
            yield _at(
                context,
                "preload_from_hub",
                f"README.md has {quote(item)} in preload_from_hub.",
                'Write "owner/name file1,file2 commit"; files and commit may be left out.',
                value=clean(item),
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
        yield _at(
            context,
            "thumbnail",
            f"README.md has thumbnail: {quote(value)}, which is no address.",
            "Write the whole address, beginning with https://.",
            value=clean(value),
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
        yield _at(
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
        yield _at(
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
    "card_without_effect",
    "info",
    "readme",
    explanation="Some keys count for one SDK only: app_port for docker, app_build_command for static.",
    example="sdk: gradio with app_port: 8080",
)
def card_without_effect(context: Context) -> Iterator[Found]:
    """Finds keys that have no effect with this SDK."""
    if not context.given(README):
        return
    for key, sdk in (("app_build_command", "static"), ("app_port", "docker")):
        value = context.card.values.get(key)
        if value is not None and context.sdk != sdk and not (key == "app_port" and value in (7860, "7860")):
            yield _at(context, key, f"README.md has {key}, which counts for sdk: {sdk} only.", "Leave it out.", key=key)


@rule(
    "readme_name",
    "info",
    "readme",
    explanation="The Hub reads README.md, written exactly so. A file that differs in case only is taken as the README.",
    example="readme.md",
)
def readme_name(context: Context) -> Iterator[Found]:
    """Finds a README whose name differs in case."""
    if context.given(README):
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
