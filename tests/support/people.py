"""Realms and accounts for tests, created through the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from assembler_runner.accounts.permissions import built_in_id
from tests.conftest import Service

WORD = "a long enough password"
NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass
class Person:
    """An account that is logged in."""

    service: Service
    id: str
    tokens: dict[str, Any]
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def open(self, method: str, path: str, body: Any = None) -> Any:
        return self.service.client.open(path, method=method, json=body, headers=self.headers)

    def get(self, path: str) -> Any:
        return self.open("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.open("POST", path, body)

    def delete(self, path: str) -> Any:
        return self.open("DELETE", path)


def login(service: Service, **grant: str) -> Any:
    return service.client.post("/auth/token", json=grant)


def made(answer: Any, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.json
    return dict(answer.json)


def make_realm(service: Service, name: str, **more: Any) -> str:
    return str(made(service.post("/auth/realms", {"name": name, **more}))["id"])


def make_user(service: Service, name: str, realm_id: str | None = None, role: str | None = "member") -> Person:
    """Creates a user with exactly one role, or none, and logs in."""
    body: dict[str, Any] = {"name": name, "password": WORD} | ({"realm_id": realm_id} if realm_id else {})
    user = made(service.post("/auth/users", body))
    set_role(service, user["id"], role)
    answer = login(service, grant_type="password", username=name, password=WORD, realm=user["realm_id"])
    return Person(service, user["id"], made(answer, 200))


def set_role(service: Service, user_id: str, role: str | None) -> None:
    for grant in service.get(f"/auth/user-roles?filter[user_id]={user_id}").json["data"]:
        made(service.client.delete(f"/auth/user-roles/{grant['id']}", headers=service.headers), 202)
    if role:
        made(service.post("/auth/user-roles", {"user_id": user_id, "role_id": built_in_id("role", role)}))
