"""WSGI applications that the service is compared with; gunicorn loads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any


def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads JSON and answers with JSON: what any service in Python has to do at least."""
    if environ["REQUEST_METHOD"] == "GET":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b"{}"]
    body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    answer = json.dumps({"files": sorted(body["files"])}).encode()
    start_response("202 Accepted", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


def inline() -> Any:
    """The same application as most Celery services are: it sends to the broker before it answers, and commits alone."""
    from assembler_runner.app import create_app
    from assembler_runner.core import sqlite
    from assembler_runner.publishing.tasks import run_request
    from assembler_runner.requests import submit

    class Inline:
        def send(self, request_id: str) -> None:
            run_request.delay(request_id)

    def set_up(connection: sqlite.Connection) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchone()

    # Each commit waits for the disk by itself, with the write lock held.
    sqlite.Connection.set_up = set_up  # type: ignore[method-assign]  # replaces it
    submit.wakeups = Inline()  # type: ignore[assignment]  # replaces it
    return create_app()


def one_by_one() -> Any:
    """The first version of the service: it creates the Space and uploads each file with a call of its own."""
    from flask import Flask, jsonify, request
    from huggingface_hub import HfApi

    app, api = Flask(__name__), HfApi()

    @app.get("/health/live")
    def live() -> Any:
        return jsonify({})

    @app.post("/create-space")
    def create_space() -> Any:
        body = request.get_json()
        repo = f"{api.whoami()['name']}/{body['name']}"
        api.create_repo(repo, repo_type="space", space_sdk=body["space_type"])
        # It added requirements.txt to every Space.
        for path, content in {"requirements.txt": "", **body["files"]}.items():
            api.upload_file(path_or_fileobj=content.encode(), path_in_repo=path, repo_id=repo, repo_type="space")
        return jsonify({"message": "New Space created"})

    return app


def __getattr__(name: str) -> Any:
    if name == "one_by_one_app":
        return one_by_one()
    if name == "inline_app":
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        return inline()
    raise AttributeError(name)
