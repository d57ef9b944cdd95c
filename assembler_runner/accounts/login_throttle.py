"""Throttles password guessing: failed logins are counted per account and address.

An attacker cannot lock out the owner of an account: an address from which the account has logged in before is limited
only by its own failures, and from other addresses an account under attack still accepts a login every few seconds.
flask-limiter counts in Redis if the broker is Redis, shared by all processes, otherwise in this process.
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
"""Factor by which the limit is higher for one account from all addresses, and for one address with all accounts."""

SLOW_SECONDS = 10
"""Seconds between accepted attempts from unknown addresses for an account with too many failures."""

KNOWN_SECONDS = 90 * 24 * 3600
"""Seconds an address from which an account has logged in is remembered."""


class _Attempts:
    """Counters of one application.

    Args:
        limiter: counts the failures.
        most: maximum failures of one account from one address.
        trusts_proxy: whether addresses are taken from a reverse proxy.
    """

    def __init__(self, limiter: Limiter, most: int, trusts_proxy: bool) -> None:
        self.limiter = limiter
        self.most = most
        self.trusts_proxy = trusts_proxy
        # Attempts in progress count as failures until the password is verified.
        self.running: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def storage(self) -> Storage:
        """Storage of the counters."""
        found = self.limiter.storage
        assert isinstance(found, Storage)
        return found


def configure(app: Flask, settings: Settings) -> None:
    """Configures the counters.

    Args:
        app: the application.
        settings: storage and limits.
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
    """Wraps a password check: rejects it after too many failures, and counts its outcome.

    Args:
        account: the account named by the caller.
    Raises:
        TooManyRequests: too many failed logins.
    """
    attempts: _Attempts = current_app.extensions[EXTENSION]
    names = _Names(account)
    with _running(attempts, names):
        try:
            _check(attempts, names)
        except StorageError as problem:
            # Allow logins while Redis is unreachable; hashing still slows down guessing.
            log.warning("failed logins cannot be counted: %s", type(problem.storage_error).__name__)
        try:
            yield
        except InvalidCredentials:
            _record(attempts, names, failed=True)
            raise
        _record(attempts, names, failed=False)


class _Names:
    """The keys of an attempt's counters; the account is hashed: input may be long, or a password typed by mistake."""

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
        _refuse_if_over(attempts, _limit(attempts, EVERYWHERE), ("login", names.account, names.address), names.pair)
        return
    _refuse_if_over(attempts, _limit(attempts), ("login", names.account, names.address), names.pair)
    _refuse_if_over(attempts, _limit(attempts, EVERYWHERE), ("login from address", names.address), names.address)
    many, of_account = _limit(attempts, EVERYWHERE), ("login of account", names.account)
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
        log.warning("logins are throttled by a proxy's address: set TRUSTED_PROXIES if a reverse proxy is in front")
    raise TooManyRequests("Too many failed logins; wait before the next attempt.", retry_after=seconds)


def _record(attempts: _Attempts, names: _Names, *, failed: bool) -> None:
    try:
        if not failed:
            attempts.storage.incr(names.known, KNOWN_SECONDS)
            return
        attempts.limiter.limiter.hit(_limit(attempts), "login", names.account, names.address)
        many = _limit(attempts, EVERYWHERE)
        attempts.limiter.limiter.hit(many, "login", names.account, names.address)
        attempts.limiter.limiter.hit(many, "login of account", names.account)
        attempts.limiter.limiter.hit(many, "login from address", names.address)
    except StorageError as problem:
        log.warning("the outcome of a login cannot be counted: %s", type(problem.storage_error).__name__)
