"""Fuzzing of the real service on loopback: `python -m tests.support.fuzz --minutes N [--seed S]`, or `invoke fuzz`.

Sends mutated bodies to every route of the document, mutated archives, and mutated front matter. It ends with 1 after a
status of 500 or more, growth by more than 300 MB, an answer after more than 20 s, or the end of the service; what was
sent last and the seed are printed, so that it can be repeated.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.support.services import PASSWORD, Client, Process

READY = r"Assembler is ready at (http://\S+)"
MAX_GROWTH_MB, MAX_SECONDS = 300, 20.0
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, 1e308, "", " ", "\0", "\ud800", "a" * 70_000, "../x", "${x}", "\x1b[2J", "\u202e"),
    *([], {}, [[]], {"": ""}, {"a": {"a": []}}, "2026-13-45", "00000000-0000-4000-8000-000000000000", "x@1.0"),
)
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
            # Logging out would end the fuzzing.
            if method in ("get", "post", "put", "delete") and not path.startswith(("/auth/token", "/auth/users"))
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


def memory(pid: int) -> float:
    """The memory of a process in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def main() -> int:
    """Fuzzes for some minutes; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", flush=True)
    statuses: Counter[int] = Counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Process(
            *("-m", "assembler_runner", "serve", "--port", "0", "--instance", folder), ADMIN_PASSWORD=PASSWORD
        ) as process,
    ):
        url = process.wait_for_line(READY)[1]
        with Client(url) as client:
            fuzzer = Fuzzer(url, {"Authorization": f"Bearer {client.token}"}, wanted.seed)
        for _ in range(50):
            statuses[fuzzer.once()] += 1
        before, end = memory(process.pid), time.monotonic() + 60 * wanted.minutes
        while time.monotonic() < end:
            try:
                status = fuzzer.once()
            except httpx.TransportError as problem:
                print(f"no answer ({type(problem).__name__}) to: {fuzzer.last}\n{process.log[-2000:]}")
                return 1
            statuses[status] += 1
            if status >= 500 or memory(process.pid) - before > MAX_GROWTH_MB:
                print(f"status {status}, {memory(process.pid) - before:.0f} MB more, after: {fuzzer.last}")
                print(process.log[-3000:])
                return 1
        print(
            f"{sum(statuses.values())} calls, {dict(sorted(statuses.items()))}, {memory(process.pid) - before:.0f} MB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
