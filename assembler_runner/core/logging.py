"""The service's own log: text or JSON lines, with the ids of the work they belong to and without secrets."""

from __future__ import annotations

import json
import logging
import logging.config
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from assembler_runner.core.redaction import REPLACEMENT, Redactor
from assembler_runner.core.request_ids import call_id, space_request_id
from assembler_runner.core.settings import SETTINGS, Settings

_SECRET_FIELD = re.compile(
    r"(^|_)(authorization|cookie|credentials?|password|passwd|secrets?|token|api_key|private_key)($|_)", re.IGNORECASE
)
# Tokens of the Hub, JSON Web Tokens, secrets of webhooks, what follows Bearer or Basic, passwords in addresses.
_TOKENS = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), REPLACEMENT),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), REPLACEMENT),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), REPLACEMENT),
    (re.compile(r"\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {REPLACEMENT}"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{REPLACEMENT}@"),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message", "data"}
QUIET = ("alembic", "amqp", "celery", "httpcore2", "httpx", "httpx2", "kombu", "urllib3")


class Lines(logging.Formatter):
    """Text lines; see :func:`configuration`.

    Args:
        secrets: what must not be shown.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, with the ids behind it."""
        ids = " ".join(f"{name}={value}" for name, value in _ids().items())
        text = super().format(record)
        first, newline, rest = text.partition("\n")
        return self.clean(f"{first} [{ids}]{newline}{rest}" if ids else text)

    def clean(self, text: str) -> str:
        """Returns the text without secrets."""
        text = self._redactor.redact(text)
        for pattern, replacement in _TOKENS:
            text = pattern.sub(replacement, text)
        return text


class JsonLines(Lines):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the ids, what was given as `extra`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        shown: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return json.dumps(self._cleaned(shown), ensure_ascii=False, default=str)

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                str(key): REPLACEMENT if _SECRET_FIELD.search(str(key)) and item is not None else self._cleaned(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._cleaned(item) for item in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.clean(str(value))


def configuration(settings: Settings) -> dict[str, Any]:
    """Returns the set-up of logging, as `logging.config.dictConfig` takes it.

    Args:
        settings: LOG_LEVEL, LOG_FORMAT, and the secrets that must not be shown.
    """
    secrets = [str(getattr(settings, row.name)) for row in SETTINGS if row.metadata["secret"]]
    level = logging.getLevelName(settings.LOG_LEVEL)
    kind = JsonLines if settings.LOG_FORMAT == "json" else Lines
    loggers = {name: {"level": max(logging.WARNING, level)} for name in QUIET}
    # Gunicorn's and Celery's own lines are lines like all others.
    plain = {"handlers": [], "propagate": True, "level": settings.LOG_LEVEL}
    loggers |= dict.fromkeys(("gunicorn.error", "celery.apps.worker", "celery.beat"), plain)
    # As many wait as readers come at once; each gets a thread of its own.
    loggers["waitress.queue"] = {"level": logging.ERROR}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": kind, "secrets": tuple(part for text in secrets for part in text.splitlines())}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"level": settings.LOG_LEVEL, "handlers": ["stderr"]},
        "loggers": loggers,
    }


def configure(settings: Settings) -> None:
    """Sets logging up for this process."""
    logging.config.dictConfig(configuration(settings))


def _ids() -> dict[str, str]:
    ids = {"request_id": call_id.get(), "space_request_id": space_request_id.get()}
    return {name: value for name, value in ids.items() if value}
