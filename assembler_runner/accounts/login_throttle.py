"""Guessing passwords is slow: failed logins are counted per account and address.

Nobody can lock an account for its owner: an address that an account has signed in from is limited by its own failures
alone, and from other addresses an account under attack still takes a login every few seconds. Counted by flask-limiter,
in Redis if the broker is one (then all processes share the counts), else in this process.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import Storage

from assembler_runner.core.errors import InvalidCredentials, TooManyRequests
from assembler_runner.core.settings import Settings

log = logging.getLogger(__name__)

EXTENSION = "assembler-attempts"
WINDOW_SECONDS = 300
EVERYWHERE = 5
"""How many times as many failures one account may have from all addresses, and one address with all accounts."""

SLOW_SECONDS = 10
"""How often an account with too many failures takes a login from an address it does not know."""

KNOWN_SECONDS = 90 * 24 * 3600
"""How long an address that an account has signed in from is remembered."""


class _Attempts:
    """What one application counts.

    Args:
        limiter: the failures.
        most: failures of one account from one address.
        trusts_proxy: whether addresses come from a reverse proxy.
    """

    def __init__(self, limiter: Limiter, most: int, trusts_proxy: bool) -> None:
        self.limiter = limiter
        self.most = most
        self.trusts_proxy = trusts_proxy
        # Attempts whose password is being checked count as failures until it is known to be right.
        self.running: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def storage(self) -> Storage:
        """Where the counts are."""
        found = self.limiter.storage
        assert isinstance(found, Storage)
        return found


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
    app.extensions[EXTENSION] = _Attempts(limiter, settings.MAX_LOGIN_FAILURES, settings.TRUSTED_PROXIES > 0)


@contextmanager
def attempt(account: str) -> Iterator[None]:
    """Wraps the check of a password: refuses it if there were too many failures, and counts how it ends.

    Args:
        account: what the caller says it is.
    Raises:
        TooManyRequests: there were too many failures.
    """
    attempts: _Attempts = current_app.extensions[EXTENSION]
    names = _Names(account)
    with _running(attempts, names):
        try:
            _check(attempts, names)
        except StorageError as problem:
            # Nobody could log in while Redis is away; a password still costs its hash.
            log.warning("failed logins cannot be counted: %s", type(problem.storage_error).__name__)
        try:
            yield
        except InvalidCredentials:
            _record(attempts, names, failed=True)
            raise
        _record(attempts, names, failed=False)


class _Names:
    """The keys that an attempt is counted by; what a caller says may be long, and a password by mistake."""

    def __init__(self, account: str) -> None:
        self.account = hashlib.sha256(account.encode("utf-8", "replace")).hexdigest()
        self.address = request.remote_addr or ""
        self.pair = f"{self.account} {self.address}"
        self.known = f"assembler known {self.pair}"


@contextmanager
def _running(attempts: _Attempts, names: _Names) -> Iterator[None]:
    with attempts.lock:
        attempts.running.update((names.pair, names.account, names.address))
    try:
        yield
    finally:
        with attempts.lock:
            attempts.running.subtract((names.pair, names.account, names.address))
            for name in (names.pair, names.account, names.address):
                if not attempts.running[name]:
                    del attempts.running[name]


def _check(attempts: _Attempts, names: _Names) -> None:
    if attempts.storage.get(names.known):
        _refuse_if_over(attempts, _limit(attempts, EVERYWHERE), ("log in", names.account, names.address), names.pair)
        return
    _refuse_if_over(attempts, _limit(attempts), ("log in", names.account, names.address), names.pair)
    _refuse_if_over(attempts, _limit(attempts, EVERYWHERE), ("log in from address", names.address), names.address)
    many, of_account = _limit(attempts, EVERYWHERE), ("log in of account", names.account)
    if _is_over(attempts, many, of_account, names.account) and not attempts.limiter.limiter.test(_SLOW, names.account):
        _refuse(attempts, SLOW_SECONDS)
    attempts.limiter.limiter.hit(_SLOW, names.account)


def _limit(attempts: _Attempts, factor: int = 1) -> RateLimitItem:
    return RateLimitItemPerSecond(attempts.most * factor, WINDOW_SECONDS)


_SLOW = RateLimitItemPerSecond(1, SLOW_SECONDS)


def _is_over(attempts: _Attempts, item: RateLimitItem, keys: tuple[str, ...], name: str) -> bool:
    with attempts.lock:
        others = attempts.running[name] - 1
    return attempts.limiter.limiter.get_window_stats(item, *keys).remaining <= others


def _refuse_if_over(attempts: _Attempts, item: RateLimitItem, keys: tuple[str, ...], name: str) -> None:
    if _is_over(attempts, item, keys, name):
        reset = attempts.limiter.limiter.get_window_stats(item, *keys).reset_time
        _refuse(attempts, max(1.0, reset - time.time()))


def _refuse(attempts: _Attempts, seconds: float) -> None:
    if not attempts.trusts_proxy and "X-Forwarded-For" in request.headers:
        log.warning("logins are refused by the address of a proxy: set TRUSTED_PROXIES if there is one in front")
    raise TooManyRequests("Too many failed logins; wait before the next.", retry_after=seconds)


def _record(attempts: _Attempts, names: _Names, *, failed: bool) -> None:
    try:
        if not failed:
            attempts.storage.incr(names.known, KNOWN_SECONDS)
            return
        attempts.limiter.limiter.hit(_limit(attempts), "log in", names.account, names.address)
        many = _limit(attempts, EVERYWHERE)
        attempts.limiter.limiter.hit(many, "log in", names.account, names.address)
        attempts.limiter.limiter.hit(many, "log in of account", names.account)
        attempts.limiter.limiter.hit(many, "log in from address", names.address)
    except StorageError as problem:
        log.warning("a login cannot be counted: %s", type(problem.storage_error).__name__)
