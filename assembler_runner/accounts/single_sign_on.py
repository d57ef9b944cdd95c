"""Sign-in of people at an issuer: OpenID Connect Core 1.0, authorization code flow, with PKCE (RFC 7636).

What belongs to one sign-in (state, nonce, the verifier of PKCE, the page to go on to) is kept in a signed cookie of the
browser that began it, so that only this browser can finish it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from itsdangerous import BadData, URLSafeTimedSerializer

from assembler_runner.accounts import identities
from assembler_runner.accounts.identity_tokens import (
    MAX_TOKEN,
    InvalidIdentity,
    IssuerUnavailable,
    configuration_of,
    verify,
)
from assembler_runner.core import safe_http
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import InvalidCredentials
from assembler_runner.core.oidc_settings import problem_of_endpoint
from assembler_runner.core.recent import Recent
from assembler_runner.core.safe_http import CallFailed
from assembler_runner.core.settings import Settings, current_settings
from assembler_runner.core.visible import visible

SECONDS = 600
"""How long a person may take to sign in at the issuer."""

_MAX_ANSWER = 2**18
_MAX_SUBJECT = 255
_MOST_QUOTED = 200
_USUAL_SECONDS, _MAX_SECONDS = 3600, 366 * 24 * 3600
_CONFIGURATIONS: Recent[dict[str, Any]] = Recent(600.0)


class SignInFailed(InvalidCredentials):
    """A sign-in at the issuer could not be finished."""

    code = "sign_in_failed"
    default_message = "This sign-in was not begun in this browser, is finished already, or took more than ten minutes."
    default_hint = "Start it again on this page."


class IssuerRefused(SignInFailed):
    """The issuer did not sign the person in; the hint quotes what it says."""

    default_message = "The issuer refused the sign-in."


@dataclass(frozen=True)
class Started:
    """A sign-in that has begun.

    Args:
        state: ties the answer of the issuer to the browser.
        nonce: ties the ID token to this sign-in.
        verifier: ties the code to this sign-in.
        wanted: the page to go on to.
    """

    state: str
    nonce: str
    verifier: str
    wanted: str


@dataclass(frozen=True)
class Granted:
    """What an issuer has granted.

    Args:
        access_token: the access token.
        refresh_token: the refresh token, or None.
        expires_at: when the access token expires.
        scopes: the granted scopes.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str]


@dataclass(frozen=True)
class Finished:
    """A sign-in that has succeeded.

    Args:
        user_id: the account of the person.
        wanted: the page to go on to.
        granted: what the issuer has granted; None without an access token.
    """

    user_id: str
    wanted: str
    granted: Granted | None


def begin(wanted: str, redirect_uri: str) -> tuple[str, str]:
    """Begins a sign-in.

    Args:
        wanted: the page to go on to.
        redirect_uri: the address that the issuer leads back to.
    Returns:
        The address at the issuer, and the value of the cookie.
    Raises:
        IssuerUnavailable: the configuration of the issuer cannot be read.
    """
    settings = current_settings()
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    started = Started(state, nonce, verifier, wanted)
    digest = hashlib.sha256(started.verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": settings.OIDC_CLIENT_ID,
        "redirect_uri": redirect_uri,
        "scope": " ".join(settings.OIDC_SCOPES.split()),
        "state": started.state,
        "nonce": started.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    parts = urlsplit(_endpoint(settings, "authorization_endpoint"))
    address = parts._replace(query="&".join(filter(None, (parts.query, urlencode(query)))))
    return urlunsplit(address), _serializer(settings).dumps(astuple(started))


def finish(cookie: str | None, answer: Mapping[str, str], redirect_uri: str) -> Finished:
    """Finishes a sign-in; the first one of a person makes the account.

    Args:
        cookie: the cookie of the browser.
        answer: the parameters with which the issuer has led back.
        redirect_uri: the address that the issuer was given.
    Raises:
        SignInFailed: the answer does not belong to a sign-in of this browser, or the issuer refused it.
        InvalidIdentity: the identity token is not valid.
        SignInRefused: the person may not sign in to this service.
        IssuerUnavailable: the issuer does not answer as it should.
    """
    settings = current_settings()
    started = _started(settings, cookie)
    if not hmac.compare_digest(started.state.encode(), answer.get("state", "").encode("utf-8", "replace")):
        raise SignInFailed
    _check_issuer(settings, answer.get("iss"))
    if "error" in answer:
        raise _refused(answer)
    if not answer.get("code"):
        raise SignInFailed("The issuer sent no code.")
    form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": redirect_uri}
    tokens = _tokens(settings, form | {"code_verifier": started.verifier})
    claims = _claims(settings, tokens.get("id_token"), started.nonce)
    user_id = identities.find(settings.OIDC_ISSUER, claims["sub"])
    db.session.rollback()
    if user_id is None:
        known = {**_user_info(settings, tokens.get("access_token"), claims["sub"]), **claims}
        user_id = identities.make(settings.OIDC_ISSUER, known, settings.OIDC_REALM, settings.OIDC_DEFAULT_ROLE)
    return Finished(user_id, started.wanted, _granted(settings, tokens))


def renewed(refresh_token: str) -> Granted:
    """Exchanges a refresh token for a new access token.

    Raises:
        SignInFailed: the issuer does not accept it any more.
        IssuerUnavailable: the issuer does not answer as it should.
    """
    settings = current_settings()
    tokens = _tokens(settings, {"grant_type": "refresh_token", "refresh_token": refresh_token})
    granted = _granted(settings, tokens)
    if granted is None:
        raise IssuerUnavailable("The issuer sent no access token.")
    return granted


def _granted(settings: Settings, tokens: Mapping[str, Any]) -> Granted | None:
    access, refresh, seconds = (tokens.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not access:
        return None
    # RFC 6749, section 5.1: without scope, those that were asked for are granted.
    scopes = tokens.get("scope", settings.OIDC_SCOPES)
    expires_at = utcnow() + timedelta(seconds=_seconds(seconds))
    known = refresh if isinstance(refresh, str) and refresh else None
    return Granted(access, known, expires_at, frozenset(str(scopes).split()))


def _seconds(given: Any) -> float:
    return min(float(given), _MAX_SECONDS) if isinstance(given, int) and given > 0 else _USUAL_SECONDS


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    # A cookie of another issuer is of no use.
    return URLSafeTimedSerializer(settings.SECRET_KEY, salt=f"sign-in at {settings.OIDC_ISSUER}")


def _started(settings: Settings, cookie: str | None) -> Started:
    try:
        return Started(*_serializer(settings).loads(cookie or "", max_age=SECONDS))
    except BadData:
        raise SignInFailed from None


def _configuration(settings: Settings) -> dict[str, Any]:
    issuer = settings.OIDC_ISSUER
    return _CONFIGURATIONS.get(issuer, lambda: configuration_of(issuer, settings.oidc_allowed_networks))


def _endpoint(settings: Settings, name: str) -> str:
    address = str(_configuration(settings).get(name, ""))
    if problem := problem_of_endpoint(address, settings.oidc_allowed_networks):
        raise IssuerUnavailable(f"The configuration of the issuer cannot be used: {name} {problem}.")
    return address


def _check_issuer(settings: Settings, named: str | None) -> None:
    """Checks who answers (RFC 9207), so that one issuer cannot pass its answers off as those of another."""
    required = _configuration(settings).get("authorization_response_iss_parameter_supported") is True
    if named != settings.OIDC_ISSUER and (required or named is not None):
        raise SignInFailed("The answer is not from the issuer of this service.")


def _refused(answer: Mapping[str, Any]) -> IssuerRefused:
    """Returns the error for an answer that says why the issuer refused."""
    words = [str(answer[name]) for name in ("error", "error_description") if answer.get(name)]
    return IssuerRefused(hint=f"“{visible(': '.join(words))[:_MOST_QUOTED]}”")


def _tokens(settings: Settings, form: dict[str, str]) -> dict[str, Any]:
    """Returns the answer of the token endpoint."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if settings.OIDC_CLIENT_SECRET and _uses_basic(settings):
        # RFC 6749, section 2.3.1: both are encoded as in a form.
        pair = f"{quote_plus(settings.OIDC_CLIENT_ID)}:{quote_plus(settings.OIDC_CLIENT_SECRET)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = settings.OIDC_CLIENT_ID
        if settings.OIDC_CLIENT_SECRET:
            form["client_secret"] = settings.OIDC_CLIENT_SECRET
    body, address = urlencode(form).encode(), _endpoint(settings, "token_endpoint")
    try:
        status, text = safe_http.exchange(address, body, headers, settings.oidc_allowed_networks, _MAX_ANSWER)
    except CallFailed as problem:
        raise IssuerUnavailable(f"The issuer cannot be read: {problem.reason}.") from None
    found = _object(text)
    if status != 200 and "error" in found:
        raise _refused(found)
    if status != 200:
        raise IssuerUnavailable(f"The issuer answers with the status {status}.")
    return found


def _uses_basic(settings: Settings) -> bool:
    methods = _configuration(settings).get("token_endpoint_auth_methods_supported")
    # OpenID Connect Discovery 1.0, section 3: it is the default.
    return not isinstance(methods, list) or "client_secret_basic" in methods or "client_secret_post" not in methods


def _claims(settings: Settings, token: Any, nonce: str) -> dict[str, Any]:
    """Returns the claims of the ID token, verified as OpenID Connect Core 1.0, section 3.1.3.7, requires."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise InvalidIdentity("The issuer sent no ID token.", hint="The scopes must contain openid.")
    claims = verify(token, settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.oidc_allowed_networks)
    if claims.get("nonce") != nonce:
        raise InvalidIdentity("The ID token belongs to another sign-in.", hint=SignInFailed.default_hint)
    if claims.get("azp", settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID:
        raise InvalidIdentity("The ID token was issued for another client.", hint=SignInFailed.default_hint)
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise InvalidIdentity("The subject of the ID token cannot be used.", hint="Ask the operator of the issuer.")
    return claims


def _user_info(settings: Settings, access_token: Any, subject: str) -> dict[str, Any]:
    """Returns the claims that the issuer does not put into the ID token (section 5.4)."""
    if "userinfo_endpoint" not in _configuration(settings) or not isinstance(access_token, str):
        return {}
    if not access_token.isascii() or not access_token.isprintable():
        raise IssuerUnavailable("The access token of the issuer cannot be used.")
    address = _endpoint(settings, "userinfo_endpoint")
    headers = {"Authorization": f"Bearer {access_token}"}
    try:
        found = _object(safe_http.get(address, settings.oidc_allowed_networks, _MAX_ANSWER, headers))
    except CallFailed as problem:
        raise IssuerUnavailable(f"The issuer cannot be read: {problem.reason}.") from None
    if found.get("sub") != subject:
        # Section 5.3.2: else the claims could be those of another person.
        raise InvalidIdentity("The issuer describes another person.", hint=SignInFailed.default_hint)
    return found


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise IssuerUnavailable("The issuer does not answer with a JSON object.")
    return found
