"""People who sign in at an issuer, for tests of the service in this process."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from assembler_runner.accounts.models import User
from assembler_runner.core.cookies import SESSION
from assembler_runner.core.database import db
from tests.conftest import Service
from tests.support.issuer import CLIENT, SECRET, Issuer
from tests.ui.people import assert_well_formed, text_of

HTML = {"Accept": "text/html"}
BACK = {"Sec-Fetch-Site": "cross-site", **HTML}
CALLBACK = "/ui/login/oidc/callback"


def settings_of(platform: Issuer, **more: Any) -> dict[str, Any]:
    known = {"OIDC_ISSUER": platform.url, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET}
    return {**known, "OIDC_ALLOWED_NETWORKS": "127.0.0.0/8", "OIDC_DEFAULT_ROLE": "member", **more}


def begin(client: FlaskClient, wanted: str = "/ui/new") -> str:
    """Begins a sign-in; returns the address at the issuer."""
    answer = client.get(f"/ui/login/oidc?{urlencode({'next': wanted})}", headers=HTML)
    assert answer.status_code == 303, text_of(answer.text)
    return str(answer.headers["Location"])


def at_issuer(address: str) -> str:
    """Signs in at the issuer; returns the address that leads back, without the host."""
    parts = urlsplit(httpx.get(address).headers["Location"])
    return f"{parts.path}?{parts.query}"


def sign_in(client: FlaskClient, wanted: str = "/ui/new") -> TestResponse:
    return client.get(at_issuer(begin(client, wanted)), headers=BACK)


def refused(answer: TestResponse, status: int, text: str) -> None:
    """Asserts that a sign-in failed: the sign-in page says why, and nobody is signed in."""
    assert (answer.status_code, answer.mimetype) == (status, "text/html"), text_of(answer.text)
    assert text in text_of(answer.text), text_of(answer.text)
    assert 'name="password"' in answer.text and "/ui/login/oidc" in answer.text
    assert_well_formed(answer.text)
    assert SESSION not in " ".join(answer.headers.getlist("Set-Cookie"))


def users(service: Service) -> list[str]:
    with service.app.app_context():
        return list(db.session.scalars(sa.select(User.name).where(User.name != "admin").order_by(User.created_at)))


def changed(address: str, **more: str) -> str:
    parts = urlsplit(address)
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **more})).geturl()
