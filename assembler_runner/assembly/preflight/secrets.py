"""Secrets in files, parameters and variables, before anything leaves the service. Values are never shown."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.literals import Literals
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.secret_patterns import (
    ADDRESS,
    ASSIGNED,
    ASSIGNED_NAMES,
    CERTAIN_PLACEHOLDERS,
    CREDENTIAL_FILES,
    EXAMPLE_NAMES,
    FORMS,
    HARMLESS_VARIABLES,
    HISTORY_FILES,
    JWT,
    KEY_BODY,
    KEY_CONTAINERS,
    KEY_SUFFIXES,
    PLACEHOLDERS,
    PRIVATE_KEY,
    SSH_KEYS,
)
from assembler_runner.core.digest_cache import DigestCache
from assembler_runner.core.errors import Severity
from assembler_runner.core.fixes import Edit, Fix

MAX_PER_FILE = 10
MAX_TRIES = 2000
_FEW_CHARACTERS = 6
_SAME_PLACE = 200
_BY_LITERAL = [(literal.lower(), form) for form in FORMS for literal in form.literals]
_LITERALS = Literals([*(literal for literal, _ in _BY_LITERAL), *ASSIGNED_NAMES])
_LOCAL_HOSTS = re.compile(
    r"^(?:localhost|127\.|0\.0\.0\.0|host\.docker\.internal|\[?::1|example\.|[\w-]+$)|\.example(?:\.\w+)?$|\.local$"
)
_COMMON_PASSWORDS = frozenset(
    (
        "password",
        "passwd",
        "pass",
        "postgres",
        "root",
        "admin",
        "secret",
        "user",
        "test",
        "guest",
        "pwd",
        "mysql",
        "token",
    )
)
_ENV_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*(.*?)[ \t\r]*$")
_TEXT_PREFIX = re.compile(r"^(?:sha\d+-|sha\d+:|https?:|/|\./|data:)")


@dataclass(frozen=True)
class Secret:
    """A secret in a text.

    Args:
        kind: what it is, for people.
        position: of its first character.
        variable: name of the environment variable it could be in; empty where there is no usual one.
        certain: whether its form leaves no doubt.
    """

    kind: str
    position: int
    variable: str = ""
    certain: bool = True


_CREDENTIAL_NAMES = frozenset(ending.rpartition("/")[2] for ending in CREDENTIAL_FILES)

_FOUND: DigestCache[tuple[Secret, ...]] = DigestCache(4096)


def find_secrets(text: str) -> tuple[Secret, ...]:
    """Finds secrets by their forms.

    Args:
        text: any text; the time grows with its length only.
    Returns:
        The first secrets by position, at most one for each place.
    """
    data = text.encode("utf-8", "surrogatepass")
    return _FOUND.get(data, lambda: tuple(_search(text, _LITERALS.found_in(data))[:MAX_PER_FILE]))


def _search(text: str, literals: Collection[str]) -> list[Secret]:
    found: dict[int, Secret] = {}
    for form in dict.fromkeys(form for literal, form in _BY_LITERAL if literal in literals):
        for match in form.pattern.finditer(text):
            if not _is_placeholder(match[1]):
                found.setdefault(match.start(), Secret(form.kind, match.start(), form.variable))
    for secret in (*_private_keys(text), *_addresses(text), *_service_tokens(text)):
        found.setdefault(secret.position, secret)
    certain = sorted(found)
    for secret in _assigned(text, [name for name in ASSIGNED_NAMES if name in literals]):
        # The same value is known by its form already.
        nearest = bisect_right(certain, secret.position + 4)
        if not nearest or secret.position - certain[nearest - 1] > _SAME_PLACE:
            found.setdefault(secret.position, secret)
    return [found[position] for position in sorted(found)]


def _private_keys(text: str) -> Iterator[Secret]:
    if "PRIVATE KEY" not in text:
        return
    for match in PRIVATE_KEY.finditer(text):
        body = text[match.end() : match.end() + 600].partition("-----END")[0].replace("\\n", "\n")
        joined = "".join(line.strip(" \t\r\"'+,") for line in body.split("\n") if ":" not in line)
        content = KEY_BODY.search(joined)
        if content is not None and len(set(content[0])) >= _FEW_CHARACTERS:
            yield Secret("private key", match.start(), "PRIVATE_KEY")


def _addresses(text: str) -> Iterator[Secret]:
    start = text.find("://")
    tries = 0
    while start >= 0 and tries < MAX_TRIES:
        tries += 1
        begin = start
        while begin > 0 and start - begin < 16 and (text[begin - 1].isalnum() or text[begin - 1] == "+"):
            begin -= 1
        match = ADDRESS.match(text, begin)
        if match is not None:
            password, host = match[2], match[3]
            plain = password.lower() in _COMMON_PASSWORDS or password.lower() == match[1].lower()
            if (
                not plain
                and not _LOCAL_HOSTS.search(host.lower())
                and not _is_placeholder(password, strict=True, few=4)
            ):
                yield Secret("password in an address", begin, "DATABASE_URL" if "sql" in match[0] else "")
        start = text.find("://", start + 3)


def _service_tokens(text: str) -> Iterator[Secret]:
    """Signed tokens that say of themselves that they may do everything; others are often meant for browsers."""
    if "eyJ" not in text:
        return
    for match in JWT.finditer(text):
        try:
            claims = base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4))
        except ValueError:
            continue
        if b'"service_role"' in claims:
            yield Secret("Supabase service key", match.start(), "SUPABASE_SERVICE_KEY")


def _assigned(text: str, names: Collection[str]) -> Iterator[Secret]:
    lowered = text.lower() if names else ""
    if len(lowered) != len(text):
        return
    for name in names:
        position, tries = lowered.find(name), 0
        while position >= 0 and tries < MAX_TRIES:
            tries += 1
            match = ASSIGNED.match(text, position + len(name))
            quoted = match is not None and text[match.start(1) - 1] in "\"'"
            if match is not None and (quoted or "." not in match[1]) and _is_random(match[1]):
                yield Secret("value that looks like a key", match.start(1), certain=False)
            position = lowered.find(name, position + len(name))


def _is_random(value: str) -> bool:
    if _is_placeholder(value, strict=True) or _TEXT_PREFIX.match(value):
        return False
    kinds = sum(any(test(character) for character in value) for test in (str.isdigit, str.islower, str.isupper))
    is_hex = re.fullmatch(r"[0-9a-f]{32,128}", value) is not None
    longest_word = max(map(len, re.split(r"[^a-z]", value)))
    return len(set(value)) >= 10 and (is_hex or (kinds == 3 and longest_word < 8))


def _is_placeholder(value: str, *, strict: bool = False, few: int = _FEW_CHARACTERS) -> bool:
    return len(set(value)) < few or (PLACEHOLDERS if strict else CERTAIN_PLACEHOLDERS).search(value) is not None


@rule(
    "secret_in_file",
    "error",
    "secrets",
    explanation="A file, or a parameter that becomes part of one, holds a token, a password or a private key. "
    "Whoever may read the Space may read it; tokens in public Spaces are found and used within minutes. "
    "In a private Space it is a warning. A file that usually holds secrets is a warning where nothing "
    "secret was recognised in it.",
    example='app.py: client = OpenAI(api_key="sk-proj-…")',
    has_fix=True,
    allowable=True,
)
def secret_in_file(context: Context) -> Iterator[Found]:
    """Finds secrets by names and contents of files, and in the parameters."""
    for path in context.files:
        named = _by_name(context, path)
        if named is not None:
            yield named
        if named is None or named.severity != _severity(context):
            yield from _by_content(context, path)
    for place, text in _texts_of(context.parameters, "parameters"):
        for secret in find_secrets(text)[:1]:
            yield _found(context, secret, place, None, "the parameters become part of the published files")


@rule(
    "secret_in_variable",
    "error",
    "secrets",
    explanation="Variables of a Space are public, and are copied when it is duplicated; its secrets are neither.",
    example='"variables": {"HF_TOKEN": "hf_…"}',
    allowable=True,
)
def secret_in_variable(context: Context) -> Iterator[Found]:
    """Finds secrets among the variables of the request."""
    for place, text in _texts_of(context.variables, "variables"):
        for secret in find_secrets(text)[:1]:
            message = f"The value of {quote(place)} is a secret ({secret.kind}), and variables are public."
            hint = f"Send it as secrets.{clean(place.partition('.')[2])} instead."
            yield Found(message, place, None, hint, {"kind": secret.kind}, severity=_severity(context))


def _severity(context: Context) -> Severity:
    return "error" if context.public else "warning"


def _by_content(context: Context, path: str) -> Iterator[Found]:
    text = context.scannable(path)
    if text is None or EXAMPLE_NAMES.search(path):
        return
    for secret in find_secrets(text):
        yield _found(context, secret, path, text.count("\n", 0, secret.position) + 1, "")


def _found(context: Context, secret: Secret, path: str, line: int | None, why: str) -> Found:
    variable = secret.variable
    where = f"{quote(path)} contains a secret: {secret.kind}"
    name = variable or "a name of your choice"
    hint = f"Send the value in the field secrets under {name}, and read it from the environment"
    hint += f', for example os.environ["{variable}"].' if variable else "."
    if secret.certain and context.public:
        hint += " If it was ever public, revoke it."
    severity: Severity = _severity(context) if secret.certain else "warning"
    values = {"kind": secret.kind, **({"secret": variable} if variable else {})}
    return Found(f"{where}{'; ' + why if why else ''}.", path, line, hint, values, severity=severity)


def _by_name(context: Context, path: str) -> Found | None:
    name = path.rpartition("/")[2].lower()
    if EXAMPLE_NAMES.search(name) or name.endswith(".pub"):
        return None
    if name == ".env" or name.startswith(".env.") or name.endswith(".env") or name == "secrets.toml":
        return _environment_file(context, path)
    text = None
    if name in SSH_KEYS or name.endswith(KEY_SUFFIXES):
        text = context.scannable(path) or ""
        if any(True for _ in _private_keys(text)):
            return _key_file(context, path, "a private key")
        return None
    if name.endswith(KEY_CONTAINERS) and context.files[path].size:
        return _key_file(context, path, "a container of private keys", "warning")
    if name in HISTORY_FILES and context.files[path].size:
        return _key_file(context, path, "what was typed into a shell", "warning")
    if name in _CREDENTIAL_NAMES:
        for ending, holds in CREDENTIAL_FILES.items():
            if f"/{path.lower()}".endswith(f"/{ending}"):
                text = context.scannable(path)
                return _key_file(context, path, "credentials") if text and holds.search(text) else None
    if name.endswith(".json") and context.files[path].size < 20_000:
        text = context.scannable(path)
        if text and '"service_account"' in text and any(True for _ in _private_keys(text)):
            return _key_file(context, path, "the key of a Google service account")
    return None


def _environment_file(context: Context, path: str) -> Found | None:
    text = context.scannable(path)
    if not text:
        return None
    secret_like, names = False, []
    for row in text.split("\n")[:2000]:
        match = _ENV_LINE.match(row[:2000])
        if match is None or row.lstrip().startswith("#"):
            continue
        value = match[2].strip("\"'")
        if not value or value.startswith(("${", "$(")) or _is_placeholder(value, strict=True, few=1):
            continue
        if HARMLESS_VARIABLES.match(match[1]) and not find_secrets(value):
            continue
        names.append(match[1])
        telling = re.search(r"(?i)key|token|secret|passw|pwd|credential|dsn|database_url", match[1]) is not None
        secret_like |= bool(find_secrets(row[:2000])) or (
            telling and len(value) >= 8 and len(set(value)) >= _FEW_CHARACTERS
        )
    if not names:
        return None
    found = _key_file(context, path, "settings that are usually secret", None if secret_like else "warning")
    return Found(
        found.message, path, None, found.hint, {**found.values, "names": names[:20]}, found.fix, found.severity
    )


def _key_file(context: Context, path: str, what: str, severity: Severity | None = None) -> Found:
    public = " and would be public" if context.public else ""
    message = f"{quote(path)} contains {what}{public}."
    hint = "Leave the file out, and send what the app needs in the field secrets."
    fix = Fix(f"Leave {clean(path)} out", safe=False, edits=(Edit(path, "delete"),))
    return Found(
        message, path, None, hint, {"kind": what}, fix, severity if severity == "warning" else _severity(context)
    )


def _texts_of(value: Any, place: str) -> Iterator[tuple[str, str]]:
    waiting, seen = [(place, value)], 0
    while waiting and seen < 10_000:
        seen += 1
        where, inner = waiting.pop()
        if isinstance(inner, str):
            # The name belongs to it: api_key: … is known by its name.
            yield where, f'{where.rpartition(".")[2]}: "{inner}"' if len(inner) < 10_000 else inner
        elif isinstance(inner, Mapping):
            waiting += [(f"{where}.{clean(key)}", child) for key, child in inner.items()]
        elif isinstance(inner, (list, tuple)):
            waiting += [(f"{where}[{number}]", child) for number, child in enumerate(inner)]
