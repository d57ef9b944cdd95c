"""Odd calls of every route, mutated archives, and mutated front matter."""

from __future__ import annotations

import io
import json
import random
import re
import tarfile
import zipfile
from typing import Any

import httpx

MAX_SECONDS = 20.0
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, 1e308, "", " ", "\0", "\ud800", "a" * 70_000, "../x", "${x}", "\x1b[2J", "\u202e"),
    *([], {}, [[]], {"": ""}, {"a": {"a": []}}, "2026-13-45", "00000000-0000-4000-8000-000000000000", "x@1.0"),
)
# These would end the login of the fuzzer.
ENDINGS = {("delete", "/auth/token"), ("post", "/auth/token"), ("post", "/auth/users/@me"), ("put", "/auth/users/@me")}
CARD = b"---\ntitle: A\nsdk: static\napp_file: index.html\ntags: [a, b]\ncustom_headers:\n  a: 1:30\n---\n# Text\n"


class Fuzzer:
    """Makes and sends one odd request after the other."""

    def __init__(self, url: str, headers: dict[str, str], seed: int) -> None:
        self.random = random.Random(seed)
        self.http = httpx.Client(base_url=url, headers=headers, timeout=MAX_SECONDS)
        document = self.http.get("/api-spec.json").json()
        self.examples = [
            (method, path, json.dumps(described.get("requestBody", {})))
            for path, methods in document["paths"].items()
            for method, described in methods.items()
            if method in ("get", "post", "put", "delete") and (method, path) not in ENDINGS
        ]
        self.schemas = document["components"]["schemas"]
        self.last = ""

    def once(self) -> int:
        """Sends one request and returns its status."""
        return self.random.choice((self._call, self._call, self._archive, self._front_matter))()

    def _call(self) -> int:
        method, path, body = self.random.choice(self.examples)
        path = re.sub(r"\{[^}]*\}", lambda _: self.random.choice(("x", "%00", "a" * 300, "..", str(ODD[-2]))), path)
        names = re.findall(r"#/components/schemas/(\w+)", body)
        fields = list(self.schemas[names[0]].get("properties", {})) if names else []
        value = {name: self._odd() for name in self.random.sample(fields, self.random.randint(0, len(fields)))}
        query = {self.random.choice(("after", "sort", "filter[name]", "page[limit]", "tail")): str(self._odd())[:200]}
        text = json.dumps(value)
        self.last = f"{method} {path} {text[:2000]}"
        params = query if method == "get" and self.random.random() < 0.5 else None
        content = text.encode() if method in ("post", "put") else None
        headers = {"Content-Type": "application/json"}
        params = {key: text.encode("utf-8", "replace").decode() for key, text in (params or {}).items()} or None
        return self.http.request(method, path, content=content, headers=headers, params=params).status_code

    def _odd(self) -> Any:
        choice = self.random.random()
        if choice < 0.1:
            return {str(self.random.choice(ODD))[:80]: self.random.choice(ODD)}
        return [self.random.choice(ODD)] if choice < 0.2 else self.random.choice(ODD)

    def _mutated(self, content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(self.random.randint(1, 8)):
            at = self.random.randrange(len(changed))
            piece = self.random.choice((b"", b"\0", b"\xff", b"9" * 500, changed[at : at + 64] * 20, b"---\n", b"[{"))
            changed[at : at + self.random.randint(0, 4)] = piece
        return bytes(changed)

    def _archive(self) -> int:
        file = io.BytesIO()
        kind = self.random.choice(("zip", "tar", "tar.gz"))
        if kind == "zip":
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("index.html", "x" * 5000)
        else:
            with tarfile.open(fileobj=file, mode="w:gz" if kind == "tar.gz" else "w", format=tarfile.PAX_FORMAT) as tar:
                info = tarfile.TarInfo("index.html")
                info.size, info.pax_headers = 5000, {"comment": "x" * 200}
                tar.addfile(info, io.BytesIO(b"x" * 5000))
        content = self._mutated(file.getvalue())
        self.last = f"archive {kind} {content.hex()[:4000]}"
        form = {"request": (None, '{"space_type": "static"}', "application/json")}
        return self.http.post("/spaces/preview", files={**form, "archive": (f"a.{kind}", content)}).status_code

    def _front_matter(self) -> int:
        readme = self._mutated(CARD).decode("utf-8", "replace")
        self.last = f"front matter {readme!r}"
        body = {"space_type": "static", "files": {"index.html": "x", "README.md": readme}}
        return self.http.post("/spaces/preview", json=body).status_code
