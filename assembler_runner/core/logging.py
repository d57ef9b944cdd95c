"""The service's log: text or JSON lines, with the ids of the call and the request, and with secrets redacted."""

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
# Tokens of the Hub, JSON Web Tokens, webhook secrets, credentials after Bearer or Basic, passwords in URLs.
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
        secrets: values to redact.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redactor = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, followed by the ids."""
        ids = " ".join(f"{name}={value}" for name, value in _ids().items())
        text = super().format(record)
        first, newline, rest = text.partition("\n")
        return self.clean(f"{first} [{ids}]{newline}{rest}" if ids else text)

    def clean(self, text: str) -> str:
        """Returns the text with secrets redacted."""
        text = self._redactor.redact(text)
        for pattern, replacement in _TOKENS:
            text = pattern.sub(replacement, text)
        return text


class JsonLines(Lines):
    """One JSON object per line: `time`, `level`, `logger`, `message`, the ids, the `extra` fields, `exception`."""

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
    """Returns the logging configuration for `logging.config.dictConfig`.

    Args:
        settings: LOG_LEVEL, LOG_FORMAT, and the secrets to redact.
    """
    secrets = [str(getattr(settings, row.name)) for row in SETTINGS if row.metadata["secret"]]
    level = logging.getLevelName(settings.LOG_LEVEL)
    kind = JsonLines if settings.LOG_FORMAT == "json" else Lines
    loggers = {name: {"level": max(logging.WARNING, level)} for name in QUIET}
    # Gunicorn and Celery log through the root handler.
    plain = {"handlers": [], "propagate": True, "level": settings.LOG_LEVEL}
    loggers |= dict.fromkeys(("gunicorn.error", "celery.apps.worker", "celery.beat"), plain)
    # Expected: event streams queue here until each has a thread of its own.
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
    """Configures logging for this process."""
    logging.config.dictConfig(configuration(settings))


def _ids() -> dict[str, str]:
    ids = {"request_id": call_id.get(), "space_request_id": space_request_id.get()}
    return {name: value for name, value in ids.items() if value}
