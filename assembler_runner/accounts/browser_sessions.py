"""Sessions of people in the web pages: an opaque cookie in front of a login session.

The cookie is a random value of 256 bits, stored as a hash. It ends with its login session: when the person signs out,
changes the password or is disabled. It is no API token: see :func:`accepts`.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

import sqlalchemy as sa
from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from assembler_runner.accounts import hub_tokens, tokens
from assembler_runner.accounts.models import BrowserSession, LoginSession, User
from assembler_runner.core.cookies import SECURE_SESSION, SESSION
from assembler_runner.core.database import db, utcnow, write_transaction
from assembler_runner.core.errors import Forbidden
from assembler_runner.core.settings import current_settings

PAGES = ("/ui/", "/local/")
"""Paths of pages: a browser may open them by an address that was typed or bookmarked."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
MOST_SHOWN = 100
_SEEN_SECONDS = 300.0


def begin(user: User, address: str | None, browser: str | None) -> str:
    """Starts a session; the caller commits.

    Args:
        user: who has signed in.
        address: IP address of the browser.
        browser: its User-Agent.
    Returns:
        The value of the cookie.
    """
    tokens.delete_expired(user)
    session = LoginSession(account_kind="user", account_id=user.id, generation=user.token_generation)
    session.expires_at = utcnow() + timedelta(seconds=current_settings().BROWSER_SESSION_SECONDS)
    db.session.add(session)
    db.session.flush()
    value = secrets.token_urlsafe(32)
    row = BrowserSession(token_hash=_hash(value), session_id=session.id, address=address)
    row.browser = (browser or "")[:256] or None
    db.session.add(row)
    return value


def user_of(value: str) -> tuple[User, str] | None:
    """Returns the user of a cookie and the id of the login session; None if the session has ended."""
    row = db.session.get(BrowserSession, _hash(value))
    if row is None or not tokens.is_active(row.session_id):
        return None
    user = db.session.get(User, row.session.account_id)
    return None if user is None else (user, row.session_id)


def keep_alive(value: str) -> None:
    """Extends a session that is in use; writes at most every few minutes."""
    now, digest = utcnow(), _hash(value)
    try:
        row = db.session.get(BrowserSession, digest)
        if row is None or (now - row.seen_at).total_seconds() < _SEEN_SECONDS:
            return
        session_id = row.session_id
        db.session.rollback()
        with write_transaction(durable=False):
            db.session.execute(sa.update(BrowserSession).where(BrowserSession.token_hash == digest).values(seen_at=now))
            later = now + timedelta(seconds=current_settings().BROWSER_SESSION_SECONDS)
            current = sa.update(LoginSession).where(LoginSession.id == session_id, LoginSession.ended_at.is_(None))
            db.session.execute(current.values(expires_at=later))
    except SQLAlchemyError:
        # The page can be shown nevertheless; the next call tries again.
        db.session.rollback()


def sessions_of(user_id: str) -> list[BrowserSession]:
    """Returns the sessions of a user that have not ended, the one used last first; at most `MOST_SHOWN`."""
    now = utcnow()
    # Those of programs are valid for longer: with this bound they need not be read.
    latest = now + timedelta(seconds=current_settings().BROWSER_SESSION_SECONDS)
    current = (LoginSession.account_id == user_id, LoginSession.ended_at.is_(None))
    query = sa.select(BrowserSession).join(LoginSession).where(*current, LoginSession.expires_at.between(now, latest))
    found = db.session.scalars(query.order_by(LoginSession.expires_at.desc()).limit(MOST_SHOWN))
    return [row for row in found if tokens.is_active(row.session_id)]


def end_all(user_id: str) -> int:
    """Ends all logins of a user, in browsers and programs; the caller commits. Returns how many."""
    current = sa.update(LoginSession).where(LoginSession.account_id == user_id, LoginSession.ended_at.is_(None))
    done = db.session.execute(current.values(ended_at=utcnow()), execution_options={"synchronize_session": False})
    hub_tokens.remove_if_signed_out(user_id)
    return int(done.rowcount)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult


def cookie_of(request: Request) -> str | None:
    """Returns the value of the cookie that a call carries."""
    return request.cookies.get(SECURE_SESSION if request.is_secure else SESSION)


def set_cookie(request: Request, response: Response, value: str) -> None:
    """Gives the cookie to the browser; scripts of pages cannot read it."""
    name = SECURE_SESSION if request.is_secure else SESSION
    response.set_cookie(name, value, path="/", secure=request.is_secure, httponly=True, samesite="Strict")


def remove_cookie(request: Request, response: Response) -> None:
    """Makes the browser forget the cookie."""
    name = SECURE_SESSION if request.is_secure else SESSION
    response.delete_cookie(name, path="/", secure=request.is_secure, httponly=True, samesite="Strict")


def is_page(path: str) -> bool:
    """Returns whether a path is a page for people, not a call of the API."""
    return path in ("/", "/ui") or path.startswith(PAGES)


def accepts(request: Request) -> bool:
    """Returns whether a call may use its cookie.

    A page may: the cookie is never sent from another site. A call of the API needs the browser's word that it comes
    from a page of this origin.
    """
    if is_page(request.path) and request.method in SAFE_METHODS:
        return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
    return _from_own_page(request) or (is_page(request.path) and not _is_foreign(request))


def refuse_foreign(request: Request) -> None:
    """Rejects a change that a page of another origin has sent.

    Raises:
        Forbidden: the change comes from another origin, and is for a page or would use the cookie.
    """
    if request.method in SAFE_METHODS or not _is_foreign(request):
        return
    with_cookie = cookie_of(request) is not None and request.authorization is None
    if request.path.startswith("/ui/") or with_cookie:
        raise Forbidden("This change was sent by a page of another origin.", hint="Open the page here and try again.")


def _from_own_page(request: Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    return site == "same-origin" if site is not None else _has_own_origin(request)


def _is_foreign(request: Request) -> bool:
    """Returns whether the browser says that the call comes from another origin."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and not _has_own_origin(request)


def _has_own_origin(request: Request) -> bool:
    origin = urlsplit(request.headers.get("Origin", ""))
    return origin.scheme == request.scheme and origin.netloc == request.host


def _hash(value: str) -> str:
    # A fast hash is enough for a random value of 256 bits, which cannot be guessed.
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
