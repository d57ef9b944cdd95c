"""An issuer of identity tokens over real HTTP, with a key of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Issuer:
    """Signs tokens; serves its configuration and its keys."""

    def __init__(self) -> None:
        self.private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = "one"
        self.documents: dict[str, Any] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.publish()

    def publish(self, **more: Any) -> None:
        """Puts the configuration and the current key where they are read."""
        configuration = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **more}
        self.documents["/.well-known/openid-configuration"] = configuration
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

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                document = issuer.documents.get(self.path)
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(200 if document is not None else 404)
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
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()
