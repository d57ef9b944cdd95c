"""Guessing passwords is slow: failed log ins are counted per account and address.

Counted by flask-limiter, in Redis where the broker is one (then all processes share the counts), else in this process.
"""

from __future__ import annotations

import hashlib
import logging
import time

from flask import Flask, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError

from assembler_runner.core.errors import TooManyRequests
from assembler_runner.core.settings import Settings

log = logging.getLogger(__name__)

EXTENSION = "assembler-attempts"
WINDOW_SECONDS = 300
EVERYWHERE = 5
"""How many times as many failures one account may have from all addresses, and one address with all accounts."""


def configure(app: Flask, settings: Settings) -> None:
    """Sets the counting up.

    Args:
        app: the application.
        settings: where and how much.
    """
    shared = settings.BROKER_URL.startswith(("redis://", "rediss://"))
    app.config.update(
        RATELIMIT_STORAGE_URI=settings.BROKER_URL if shared else "memory://",
        RATELIMIT_STORAGE_OPTIONS={"wrap_exceptions": True},
        RATELIMIT_STRATEGY="moving-window",
        RATELIMIT_KEY_PREFIX="assembler",
    )
    limiter = Limiter(get_remote_address, app=app)
    app.extensions[EXTENSION] = (limiter, settings.MAX_LOGIN_FAILURES)


def check(account: str) -> None:
    """Checks before a password is looked at.

    Args:
        account: what the caller says it is.
    Raises:
        TooManyRequests: there were too many failures.
    """
    limiter: Limiter = current_app.extensions[EXTENSION][0]
    try:
        for item, keys in _counts(account):
            if not limiter.limiter.test(item, *keys):
                reset = limiter.limiter.get_window_stats(item, *keys).reset_time
                wait = max(1.0, reset - time.time())
                raise TooManyRequests("Too many failed log ins; wait before the next.", retry_after=wait)
    except StorageError as problem:
        # Nobody could log in while Redis is away; a password still costs its hash.
        log.warning("failed log ins cannot be counted: %s", type(problem.storage_error).__name__)


def failed(account: str) -> None:
    """Counts a failure.

    Args:
        account: what the caller said it is.
    """
    limiter: Limiter = current_app.extensions[EXTENSION][0]
    try:
        for item, keys in _counts(account):
            limiter.limiter.hit(item, *keys)
    except StorageError as problem:
        log.warning("a failed log in cannot be counted: %s", type(problem.storage_error).__name__)


def _counts(account: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    most: int = current_app.extensions[EXTENSION][1]
    few, many = (RateLimitItemPerSecond(most * factor, WINDOW_SECONDS) for factor in (1, EVERYWHERE))
    address = request.remote_addr or ""
    # What a caller says may be long, and a password by mistake.
    account = hashlib.sha256(account.encode("utf-8", "replace")).hexdigest()
    return [
        (few, ("log in", account, address)),
        (many, ("log in of account", account)),
        (many, ("log in from address", address)),
    ]
