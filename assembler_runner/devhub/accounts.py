"""Who may do what."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from assembler_runner.devhub.wire import Json

Role = Literal["admin", "write", "contributor", "read"]


@dataclass
class Account:
    """One account and the rights of its token. Paying by default: see `is_pro` for the Hub's pay wall."""

    name: str
    is_pro: bool = True
    can_pay: bool = True
    orgs: dict[str, Role] = field(default_factory=dict)
    type: Literal["user", "org"] = "user"
    token_role: Literal["write", "read"] = "write"  # noqa: S105 - a role

    def role_in(self, namespace: str) -> Role | None:
        """The role of this account in a namespace; its own namespace makes it admin."""
        return "admin" if namespace == self.name else self.orgs.get(namespace)

    @property
    def may_write_at_all(self) -> bool:
        """Whether its token may change anything."""
        return self.token_role != "read"  # noqa: S105 - a role

    def may_create_in(self, namespace: str) -> bool:
        """Whether it may create repositories there."""
        return self.may_write_at_all and self.role_in(namespace) in ("admin", "write", "contributor")

    def may_write(self, namespace: str, creator: str) -> bool:
        """Whether it may change a repository of that namespace; contributors only change their own."""
        role = self.role_in(namespace)
        own = role == "contributor" and creator == self.name
        return self.may_write_at_all and (own or role in ("admin", "write"))

    def whoami(self) -> Json:
        """The body of whoami-v2."""
        return {
            "type": self.type,
            "id": object_id(self.name),
            "name": self.name,
            "fullname": self.name,
            "email": f"{self.name}@example.com",
            "emailVerified": True,
            "canPay": self.can_pay,
            "billingMode": "prepaid",
            "periodEnd": None,
            "isPro": self.is_pro,
            "avatarUrl": f"/avatars/{self.name}.svg",
            "orgs": [_org(name, role) for name, role in self.orgs.items()],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": "stand-in", "role": self.token_role},
            },
        }


def object_id(seed: str) -> str:
    """A stable 24-digit id, as the Hub gives to everything it stores."""
    return hashlib.sha256(seed.encode()).hexdigest()[:24]


def _org(name: str, role: Role) -> Json:
    return {
        "type": "org",
        "id": object_id(name),
        "name": name,
        "fullname": name,
        "email": None,
        "canPay": True,
        "isEnterprise": False,
        "avatarUrl": f"/avatars/{name}.svg",
        "roleInOrg": role,
    }


def default_accounts() -> dict[str, Account]:
    """Tokens for tests that do not care: alice leads the organisation acme, bob only reads there."""
    return {
        "hf_alice": Account("alice", orgs={"acme": "admin"}),
        "hf_bob": Account("bob", orgs={"acme": "read"}),
    }
