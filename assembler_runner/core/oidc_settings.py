"""The settings of OpenID Connect: who may sign in, and whose tokens are exchanged."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from assembler_runner.core.errors import Finding
from assembler_runner.core.setting import setting

if TYPE_CHECKING:
    from assembler_runner.core.safe_http import IpNetwork

HUGGING_FACE = "https://huggingface.co"
_REALM = re.compile(r"([A-Za-z0-9_.@+-]|\{[^{}\s]{1,64}\})+")


@dataclass(frozen=True)
class OidcSettings:
    """Settings of OpenID Connect."""

    OIDC_ISSUER: str = setting(
        "",
        "Issuer at which people sign in to the web pages (OpenID Connect), such as `https://huggingface.co`; empty: "
        "people sign in with name and password only.",
    )
    OIDC_CLIENT_ID: str = setting("", "Client id of this service at OIDC_ISSUER.")
    OIDC_CLIENT_SECRET: str = setting(
        "", "Client secret of this service at OIDC_ISSUER; empty: it is a public client.", secret=True
    )
    OIDC_NAME: str = setting(
        "", "Name of OIDC_ISSUER on the sign-in page; empty: `Hugging Face` for that issuer, else `Single sign-on`."
    )
    OIDC_SCOPES: str = setting("openid profile email", "Scopes that are requested from OIDC_ISSUER; with `openid`.")
    OIDC_REALM: str = setting(
        "master",
        "Realm of accounts that a first sign-in at OIDC_ISSUER makes. `{claim}` stands for a claim of the identity, "
        "such as `{hd}`. The realm must exist; a rule with a claim never leads to `master`.",
    )
    OIDC_DEFAULT_ROLE: str = setting(
        "",
        "Role of accounts that a first sign-in at OIDC_ISSUER makes; empty: none, an administrator grants it.",
        choices=("", "viewer", "member", "realm_admin"),
    )
    OIDC_AUDIENCE: str = setting(
        "",
        "Audience that tokens of pipelines must name to be exchanged for an access token; empty: `https://` and "
        "SERVER_NAME. Without both, none are exchanged.",
    )
    OIDC_ALLOWED_NETWORKS: str = setting(
        "",
        "Networks that issuers of tokens may be in although they are not public, separated by commas, such as "
        "`10.0.0.0/8`; only there may their addresses be `http://`.",
    )

    @property
    def oidc_allowed_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """The networks that issuers may be in although they are not public."""
        return [ipaddress.ip_network(part.strip()) for part in self.OIDC_ALLOWED_NETWORKS.split(",") if part.strip()]

    @property
    def oidc_name(self) -> str:
        """The name of the issuer for people; empty if they cannot sign in there."""
        usual = "Hugging Face" if self.OIDC_ISSUER == HUGGING_FACE else "Single sign-on"
        return (self.OIDC_NAME or usual) if self.OIDC_ISSUER else ""

    def oidc_findings(self) -> list[Finding]:
        """Returns the problems of these settings."""
        return [Finding("invalid_setting", f"{name} {problem}", path=name) for name, problem in self._problems()]

    def _problems(self) -> Iterator[tuple[str, str]]:
        try:
            allowed = self.oidc_allowed_networks
        except ValueError:
            yield "OIDC_ALLOWED_NETWORKS", "must name networks such as 10.0.0.0/8 or fd00::/8"
            allowed = []
        if self.OIDC_ISSUER and not self.OIDC_CLIENT_ID:
            yield "OIDC_CLIENT_ID", "is missing: OIDC_ISSUER is set"
        for name in ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"):
            if getattr(self, name) and not self.OIDC_ISSUER:
                yield name, "has no effect without OIDC_ISSUER"
        if self.OIDC_ISSUER and (problem := problem_of_issuer(self.OIDC_ISSUER, allowed)):
            yield "OIDC_ISSUER", f"{problem} (it is {self.OIDC_ISSUER!r})"
        if "openid" not in self.OIDC_SCOPES.split():
            yield "OIDC_SCOPES", f"must contain openid (it is {self.OIDC_SCOPES!r})"
        if not _REALM.fullmatch(self.OIDC_REALM):
            yield "OIDC_REALM", f"must be the name of a realm, or a claim as {{hd}} (it is {self.OIDC_REALM!r})"


def problem_of_issuer(issuer: str, allowed: Sequence[IpNetwork]) -> str | None:
    """Checks the address of an issuer.

    Args:
        issuer: the address, the claim `iss` of its tokens.
        allowed: networks that issuers may be in although they are not public.
    Returns:
        Why it cannot be one, as the end of a sentence; None if it can.
    """
    if found := problem_of_endpoint(issuer, allowed):
        return found
    parts = urlsplit(issuer)
    return "must have no query and no fragment" if parts.query or parts.fragment else None


def problem_of_endpoint(url: str, allowed: Sequence[IpNetwork]) -> str | None:
    """Checks an address at an issuer, as :func:`problem_of_issuer` does; it may have a query."""
    # Imported here: the health check reads the settings every few seconds.
    from assembler_runner.core import safe_http

    if found := safe_http.url_problem(url, allowed):
        return found
    return "must start with https://" if urlsplit(url).scheme != "https" and not allowed else None
