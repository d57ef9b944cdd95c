"""An issuer of identity tokens over real HTTP, with a key of its own; people can sign in there."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlencode, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from assembler_runner.accounts import identity_tokens, single_sign_on
from assembler_runner.core.recent import Recent

CONFIGURATION = "/.well-known/openid-configuration"
CLIENT, SECRET = "the service", "a secret: with + and %"


@dataclass
class Behaviour:
    """How the issuer signs people in; a test changes it."""

    client_id: str = CLIENT
    client_secret: str = SECRET
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1", "preferred_username": "ann", "name": "Ann"})
    id_token: dict[str, Any] = field(default_factory=dict)
    """Claims of the ID token that differ; None leaves a claim out."""
    whole_token: str | None = None
    user_info: dict[str, Any] | None = None
    """Claims that are at the userinfo endpoint instead of in the ID token."""
    answer: dict[str, str] = field(default_factory=dict)
    """Parameters of the way back that differ."""
    error: dict[str, str] | None = None
    token_answer: bytes | None = None
    granted: dict[str, Any] = field(default_factory=dict)
    """Fields of the answer of the token endpoint that differ: access_token, refresh_token, expires_in, scope."""
    renewed: dict[str, Any] = field(default_factory=dict)
    """What differs after a token was renewed."""
    hub_url: str | None = None
    """A Hub that answers all other calls: then the issuer is that Hub."""


class Issuer:
    """Signs tokens; serves its configuration, its keys, and the authorization code flow with PKCE."""

    def __init__(self) -> None:
        self.private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = "one"
        self.documents: dict[str, Any] = {}
        self.asked: list[str] = []
        self.behaviour = Behaviour()
        self.codes: dict[str, dict[str, str]] = {}
        self.ways: list[str] = []
        """How clients have authenticated at the token endpoint."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.publish()

    def publish(self, **more: Any) -> None:
        """Puts the configuration and the current key where they are read."""
        endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
        self.documents[CONFIGURATION] = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **endpoints, **more}
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private_key.public_key()))
        self.documents["/keys"] = {"keys": [{**public, "kid": self.key_id, "alg": "RS256", "use": "sig"}]}

    def renew_key(self) -> None:
        """Replaces its key by a new one."""
        self.private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id += "+"
        self.publish()

    def token(self, **claims: Any) -> str:
        """Returns a signed token; a claim that is None is left out."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": "assembler", "sub": "repo:me/app:ref:refs/heads/main", "iat": now}
        whole |= {"exp": now + 300, **claims}
        given = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(given, self.private_key, algorithm="RS256", headers={"kid": self.key_id})

    def authorize(self, asked: dict[str, str]) -> str:
        """Signs the person in at once; returns the address that leads back."""
        assert asked["client_id"] == self.behaviour.client_id and asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        answer = self.behaviour.error
        if answer is None:
            answer = {"code": secrets.token_urlsafe(16)}
            self.codes[answer["code"]] = asked
        return f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], **answer, **self.behaviour.answer})}"

    def exchange(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any] | bytes]:
        """Exchanges a code, once, for tokens."""
        if self.behaviour.token_answer is not None:
            return 200, self.behaviour.token_answer
        if not self._knows(form, authorization):
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "refresh_token":
            known = form["refresh_token"] == self.behaviour.granted.get("refresh_token")
            self.behaviour.granted |= self.behaviour.renewed if known else {}
            return (200, self._grant()) if known else (400, {"error": "invalid_grant"})
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or (asked["code_challenge"], asked["redirect_uri"]) != (challenge, form["redirect_uri"]):
            return 400, {"error": "invalid_grant", "error_description": "The code is not valid."}
        does = self.behaviour
        claims = {**does.person, "aud": does.client_id, "nonce": asked["nonce"], **does.id_token}
        if does.user_info is not None:
            claims = {name: value for name, value in claims.items() if name not in does.user_info or name == "sub"}
        token = does.whole_token or self.token(**claims)
        return 200, self._grant() | {"id_token": token}

    def _grant(self) -> dict[str, Any]:
        return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, **self.behaviour.granted}

    def _knows(self, form: dict[str, str], authorization: str | None) -> bool:
        pair = (form.get("client_id", ""), form.get("client_secret", ""))
        self.ways.append("post" if "client_secret" in form else "none")
        if authorization is not None:
            self.ways[-1] = "basic"
            kind, _, value = authorization.partition(" ")
            name, _, word = base64.b64decode(value).decode().partition(":")
            assert kind == "Basic" and quote_plus(unquote_plus(word)) == word
            pair = (unquote_plus(name), unquote_plus(word))
        return pair == (self.behaviour.client_id, self.behaviour.client_secret)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                parts = urlsplit(self.path)
                if parts.path == "/authorization":
                    self._answer(302, b"", Location=issuer.authorize(dict(parse_qsl(parts.query))))
                elif parts.path == "/userinfo":
                    assert self.headers["Authorization"] == "Bearer opaque"
                    self._answer(200, issuer.behaviour.user_info)
                elif issuer.behaviour.hub_url and self.path not in issuer.documents:
                    self._forward()
                else:
                    document = issuer.documents.get(self.path)
                    self._answer(200 if document is not None else 404, document)

            def do_POST(self) -> None:
                if issuer.behaviour.hub_url and self.path != "/token":
                    self._forward()
                    return
                issuer.asked.append(self.path)
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self._answer(*issuer.exchange(form, self.headers["Authorization"]))

            def _forward(self) -> None:
                assert issuer.behaviour.hub_url is not None
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                url = issuer.behaviour.hub_url + self.path
                found = httpx.request(self.command, url, content=body, headers=headers, timeout=60)
                hidden = ("content-length", "content-encoding", "transfer-encoding", "connection")
                kept = {name: value for name, value in found.headers.items() if name not in hidden}
                self._answer(found.status_code, found.content, **kept)

            do_PUT = do_DELETE = do_HEAD = do_PATCH = _forward  # noqa: N815

            def _answer(self, status: int, document: Any, **headers: str) -> None:
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def issuer() -> Iterator[Issuer]:
    """An issuer that answers until the context ends."""
    made = Issuer()
    # An earlier one may have had the same port.
    identity_tokens._KEYS.pop(made.url, None)
    single_sign_on._CONFIGURATIONS = Recent(600.0)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
