"""Hub tokens of people who signed in at the Hub and let this service publish as them: encrypted, never shown."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import sqlalchemy as sa

from assembler_runner.accounts.models import LoginSession, PersonHubToken, User
from assembler_runner.accounts.single_sign_on import Granted, SignInFailed, renewed
from assembler_runner.core.database import db, read_transaction, utcnow, write_transaction
from assembler_runner.core.errors import Conflict
from assembler_runner.core.settings import Settings, current_settings
from assembler_runner.core.vault import UnreadableSecret, Vault

SCOPE = "contribute-repos"
"""Scope of the Hub: to create repositories, and to change those that the token has created."""

SOON = timedelta(seconds=60)
"""A token that expires within this time is renewed first."""

_RENEWING = threading.Lock()
_READS, _READ_SECONDS = 8, 0.25
"""How often, and after how many seconds, the token that another process renews is read again."""


class SignInAgain(Conflict):
    """The service has no Hub token of the person any more."""

    code = "sign_in_again"
    default_message = "This service may not publish as the person any more: the access to the Hub has ended."
    default_hint = "The person has to sign in with Hugging Face again; then retry the request."


def is_offered(settings: Settings) -> bool:
    """Returns whether people sign in at the Hub that Spaces are published to, and allow to publish as them."""
    at_hub = settings.OIDC_ISSUER.rstrip("/") == settings.HF_ENDPOINT.rstrip("/")
    return bool(settings.OIDC_ISSUER) and at_hub and SCOPE in settings.OIDC_SCOPES.split()


def keep(vault: Vault, user: User, granted: Granted, account_name: str) -> None:
    """Stores the token of a person, in place of an earlier one; the caller commits.

    Args:
        vault: encrypts the token.
        user: the person.
        granted: what the Hub has granted.
        account_name: the account of the person on the Hub.
    """
    row = db.session.get(PersonHubToken, user.id)
    if row is None:
        row = PersonHubToken(user_id=user.id)
        db.session.add(row)
    _seal(vault, row, granted)
    row.account_name, row.generation = account_name, user.token_generation


def usable(user_id: str) -> PersonHubToken | None:
    """Returns the token of a person; None if there is none that works or can be renewed."""
    row = db.session.get(PersonHubToken, user_id, populate_existing=True)
    if row is None or not is_offered(current_settings()) or not _is_signed_in(row):
        return None
    return row if row.renewable or row.expires_at > utcnow() else None


def _is_signed_in(row: PersonHubToken) -> bool:
    """Returns whether the person of a token has a session that has not ended."""
    user = db.session.get(User, row.user_id, populate_existing=True)
    if user is None or not user.active or row.generation != user.token_generation:
        return False
    return bool(db.session.scalar(sa.select(sa.exists().where(*_current(row.user_id)))))


def _current(user_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    own = LoginSession.account_id == user_id
    return own, LoginSession.ended_at.is_(None), LoginSession.expires_at > utcnow()


def hub_name(user_id: str) -> str | None:
    """Returns the Hub account that a person can publish as now, or None."""
    row = usable(user_id)
    return row.account_name if row is not None else None


def opened(vault: Vault, user_id: str) -> str:
    """Returns the token of a person, renewed if it expires soon; no transaction must be open.

    Args:
        vault: decrypts the token.
        user_id: the person.
    Raises:
        SignInAgain: there is no token, or the Hub does not renew it.
        IssuerUnavailable: the Hub does not answer.
    """
    access, refresh = _read(vault, user_id)
    if refresh is None:
        return access
    with _RENEWING:
        # Another thread may have renewed it meanwhile.
        access, refresh = _read(vault, user_id)
        return access if refresh is None else _renew(vault, user_id, refresh)


def _read(vault: Vault, user_id: str) -> tuple[str, str | None]:
    """Returns the token of a person, and the refresh token if it has to be renewed first."""
    with read_transaction():
        row = usable(user_id)
        kept = db.session.get(PersonHubToken, user_id)
        is_over = kept is not None and not _is_signed_in(kept)
        stored = _unseal(vault, row) if row is not None else {}
        is_due = row is not None and row.expires_at <= utcnow() + SOON
    if is_over:
        # The session was not ended by anybody, but has expired.
        remove(user_id)
    if not stored:
        raise SignInAgain
    return stored["access"], stored.get("refresh") if is_due else None


def _renew(vault: Vault, user_id: str, refresh: str) -> str:
    try:
        granted = renewed(refresh)
    except SignInFailed:
        return _renewed_elsewhere(vault, user_id, refresh)
    with write_transaction():
        row = db.session.get(PersonHubToken, user_id)
        if row is not None and _unseal(vault, row).get("refresh") == refresh:
            # Not every issuer sends a new refresh token.
            _seal(vault, row, granted, refresh)
    return granted.access_token


def _renewed_elsewhere(vault: Vault, user_id: str, refresh: str) -> str:
    """Returns the token that another process is renewing: a refresh token may work only once."""
    for _ in range(_READS):
        with read_transaction():
            row = usable(user_id)
            stored = _unseal(vault, row) if row is not None else {}
        if stored.get("refresh") != refresh:
            break
        time.sleep(_READ_SECONDS)
    else:
        remove(user_id)
        raise SignInAgain
    if not stored:
        raise SignInAgain
    return stored["access"]


def person_exists(user_id: str) -> bool:
    """Returns whether the account of a person exists."""
    with read_transaction():
        return db.session.get(User, user_id) is not None


def known(vault: Vault, user_id: str) -> list[str]:
    """Returns all tokens of a person that are stored, for redaction."""
    row = db.session.get(PersonHubToken, user_id)
    stored = _unseal(vault, row) if row is not None else {}
    return [stored[name] for name in ("access", "refresh") if name in stored]


def remove(user_id: str) -> None:
    """Deletes the token of a person."""
    with write_transaction():
        db.session.execute(sa.delete(PersonHubToken).where(PersonHubToken.user_id == user_id))


def remove_if_signed_out(user_id: str) -> None:
    """Deletes the token of a person who has no session any more; the caller commits."""
    current = sa.exists().where(*_current(user_id))
    gone = sa.delete(PersonHubToken).where(PersonHubToken.user_id == user_id, ~current)
    db.session.execute(gone, execution_options={"synchronize_session": False})


def _seal(vault: Vault, row: PersonHubToken, granted: Granted, refresh: str | None = None) -> None:
    refresh = granted.refresh_token or refresh
    values = {"access": granted.access_token, "user": row.user_id} | ({"refresh": refresh} if refresh else {})
    row.encrypted_token, row.key_id = vault.encrypt(values), vault.key_id
    row.expires_at, row.renewable = granted.expires_at, refresh is not None


def _unseal(vault: Vault, row: PersonHubToken) -> dict[str, str]:
    stored = vault.decrypt(row.encrypted_token)
    if stored["user"] != row.user_id:
        raise UnreadableSecret("The Hub token of the person was stored for another one.", hint=SignInAgain.default_hint)
    return stored
