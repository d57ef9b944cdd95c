"""Identity tokens of OpenID Connect: the keys of their issuers, and their verification.

Issuers publish their keys as OpenID Connect Discovery 1.0 describes it; the token is a JWT (RFC 7519) that one of these
keys has signed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from assembler_runner.core import safe_http
from assembler_runner.core.errors import AssemblerError, InvalidCredentials
from assembler_runner.core.safe_http import CallFailed, IpNetwork

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only signatures by a private key: with a shared key, everybody who may verify could sign."""
LEEWAY_SECONDS = 60
MAX_TOKEN = 16 * 1024
_MAX_DOCUMENT = 2**20
_KEYS_SECONDS, _AGAIN_SECONDS = 600.0, 30.0
_MOST_ISSUERS = 100


class IssuerUnavailable(AssemblerError):
    """The keys of an issuer cannot be read."""

    status = 502
    code = "issuer_unavailable"
    retryable = True
    default_message = "The keys of the issuer cannot be read right now."
    default_hint = "Try again in a few seconds."


class InvalidIdentity(InvalidCredentials):
    """An identity token is not valid."""


@dataclass(frozen=True)
class _Keys:
    keys: jwt.PyJWKSet
    read_at: float


_KEYS: dict[str, _Keys] = {}
_LOCK = threading.Lock()


def verify(token: str, issuer: str, audience: str, allowed: Sequence[IpNetwork]) -> dict[str, Any]:
    """Returns the claims of a token.

    Args:
        token: the token.
        issuer: who must have issued it.
        audience: for whom it must have been issued.
        allowed: networks that issuers may be in although they are not public.
    Raises:
        InvalidIdentity: it is not valid.
        IssuerUnavailable: the keys of the issuer cannot be read.
    """
    try:
        key = _key(issuer, jwt.get_unverified_header(token).get("kid"), allowed)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidIdentity("The token has expired.") from None
    except jwt.InvalidAudienceError:
        raise InvalidIdentity(f"The audience of the token is not {audience}.") from None
    except (jwt.PyJWTError, ValueError):
        raise InvalidIdentity("The token is not signed by its issuer, or is incomplete.") from None
    return claims


def configuration_of(issuer: str, allowed: Sequence[IpNetwork]) -> dict[str, Any]:
    """Returns the configuration that an issuer publishes (OpenID Connect Discovery 1.0, section 4).

    Args:
        issuer: the address of the issuer.
        allowed: networks that issuers may be in although they are not public.
    Raises:
        IssuerUnavailable: it cannot be read.
    """
    found = _document(f"{issuer.rstrip('/')}/.well-known/openid-configuration", allowed)
    if found.get("issuer") != issuer:
        # Section 4.3: both must be the same, else one issuer could pass for another.
        raise IssuerUnavailable("The configuration of the issuer is that of another one.", hint="Check its address.")
    return found


def _key(issuer: str, key_id: Any, allowed: Sequence[IpNetwork]) -> jwt.PyJWK:
    """Returns the key with an id; reads the keys again if it is not known, at most every half minute."""
    with _LOCK:
        known = _KEYS.get(issuer)
    age = time.monotonic() - known.read_at if known else float("inf")
    if known is None or age > _KEYS_SECONDS or (_find(known.keys, key_id) is None and age > _AGAIN_SECONDS):
        known = _Keys(_read_keys(issuer, allowed), time.monotonic())
        with _LOCK:
            _KEYS[issuer] = known
            while len(_KEYS) > _MOST_ISSUERS:
                _KEYS.pop(next(iter(_KEYS)))
    key = _find(known.keys, key_id)
    if key is None:
        raise InvalidIdentity("The issuer of the token has no such key.")
    return key


def _read_keys(issuer: str, allowed: Sequence[IpNetwork]) -> jwt.PyJWKSet:
    address = configuration_of(issuer, allowed).get("jwks_uri")
    try:
        return jwt.PyJWKSet.from_dict(_document(str(address), allowed))
    except jwt.PyJWTError:
        raise IssuerUnavailable("The issuer has no keys that can be used.") from None


def _document(url: str, allowed: Sequence[IpNetwork]) -> dict[str, Any]:
    try:
        document = json.loads(safe_http.get(url, allowed, _MAX_DOCUMENT))
    except CallFailed as problem:
        raise IssuerUnavailable(f"The issuer cannot be read: {problem.reason}.") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IssuerUnavailable("The issuer does not answer with a JSON object.")
    return document


def issuer_of(token: str) -> str | None:
    """Returns who says to have issued a token, before it is verified; None if that cannot be read."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        found = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError):
        return None
    return found if isinstance(found, str) else None


def _find(keys: jwt.PyJWKSet, key_id: Any) -> jwt.PyJWK | None:
    if key_id is None:
        # An issuer with a single key need not name it.
        return keys.keys[0] if len(keys.keys) == 1 else None
    return next((key for key in keys.keys if key.key_id == key_id), None)
