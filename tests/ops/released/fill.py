"""Fills a database with this version of the service, for the tests of later versions; see README.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx

from assembler_runner.devhub import StandInHub
from tests.support.services import FINISHED, PASSWORD, Client, Process, wait_until

KEYS = {
    "SECRET_KEY": "not-a-secret-key-of-the-upgrade-test-0123456789",
    "JWT_SECRET_KEY": "not-a-secret-jwt-key-of-the-upgrade-test-01234",
}
ADA = {"grant_type": "password", "username": "ada", "password": "the password of ada", "realm": "physics"}
LISTS = ("/spaces", "/requests", "/auth/users", "/auth/robots", "/auth/realms", "/storage/buckets", "/webhooks")
YEARS = str(20 * 365 * 86400)


def call(url: str, token: str, method: str, path: str, body: Any = None) -> Any:
    """Returns the body of a successful call."""
    answer = httpx.request(
        method, url + path, json=body, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=60
    )
    assert answer.is_success, answer.text
    return answer.json()


def fill(url: str, hub: StandInHub) -> dict[str, Any]:
    """Makes accounts, Spaces and a request that waits for the Hub; returns what is to be found again."""
    with Client(url) as admin:
        login = call(
            url, "", "POST", "/auth/token", {**ADA, "username": "admin", "password": PASSWORD, "realm": "master"}
        )
        realm = admin.post("/auth/realms", {"name": "physics", "display_name": "Physics"})
        call(url, admin.token, "PUT", f"/auth/realms/{realm['id']}/hub-credential", {"token": "hf_alice"})
        admin.post("/auth/users", {"name": "ada", "password": ADA["password"], "realm_id": realm["id"]})
        robot = admin.post("/auth/robots", {"name": "ci", "realm_id": realm["id"]})
        page = {"space_type": "static", "files": {"index.html": "<h1>One</h1>"}}
        site = admin.post("/spaces", {**page, "name": "site", "parameters": {"user": "x"}, "labels": ["kept"]})
        admin.wait(site["latest_request"]["id"])
        again = admin.post(f"/spaces/{site['id']}", {"files": {"index.html": "<h1>Two</h1>"}})
        admin.wait(again["latest_request"]["id"])
        gone = admin.post("/spaces", {**page, "name": "gone"})
        admin.wait(gone["latest_request"]["id"])
        deleted = call(url, admin.token, "DELETE", f"/spaces/{gone['id']}")
        admin.wait(deleted["latest_request"]["id"])
        ada = call(url, "", "POST", "/auth/token", ADA)
        body = {"space_type": "gradio", "files": {"app.py": "print(PARAMS)\n"}, "parameters": {"n": 1}}
        own = call(url, ada["access_token"], "POST", "/spaces", {**body, "name": "counter", "target": "local"})
        wait_until(lambda: admin.get(f"/requests/{own['latest_request']['id']}")["status"] in FINISHED, "it has ended")
        hook = admin.post("/webhooks", {"url": "https://example.org/hook", "event_types": ["failed"]})
        admin.post("/storage/buckets", {"name": "pictures"})
        # The Hub is away from now on, so the secret stays in the database, encrypted.
        hub.__exit__(None, None, None)
        more = {"target": "huggingface", "namespace": "alice", "secrets": {"API_KEY": "kept through the upgrade"}}
        waiting = call(url, ada["access_token"], "POST", "/spaces", {**body, **more, "name": "waiting"})
        return {
            "login": login,
            "ada": ada,
            "robot": {"id": robot["id"], "secret": robot["secret"]},
            "webhook": {"id": hook["id"]},
            "waiting": waiting["id"],
            "site": site["id"],
            "totals": {path: admin.get(path)["meta"]["total"] for path in LISTS},
        }


def main(folder: Path, uri: str) -> None:
    """Starts the service, fills its database and stops it."""
    instance = folder / "instance"
    instance.mkdir(parents=True)
    (instance / "secrets.json").write_text(json.dumps(KEYS))
    hub = StandInHub()
    hub.__enter__()
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "DEFAULT_TARGET": "local", "ADMIN_PASSWORD": PASSWORD}
    settings |= {"ACCESS_TOKEN_SECONDS": YEARS, "REFRESH_TOKEN_SECONDS": YEARS, "SQLALCHEMY_DATABASE_URI": uri}
    arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    with Process(*arguments, **{name: value for name, value in settings.items() if value}) as service:
        kept = fill(service.wait_for_line(r"ready at (\S+)")[1], hub)
        assert service.stop() == 0
    (folder / "kept.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
