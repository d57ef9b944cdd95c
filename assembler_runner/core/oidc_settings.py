"""The settings of OpenID Connect: who may sign in, and whose tokens are exchanged."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from assembler_runner.core.errors import Finding
from assembler_runner.core.setting import setting


@dataclass(frozen=True)
class OidcSettings:
    """Settings of OpenID Connect."""

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

    def oidc_findings(self) -> list[Finding]:
        """Returns the problems of these settings."""
        try:
            _ = self.oidc_allowed_networks
        except ValueError:
            message = "OIDC_ALLOWED_NETWORKS must name networks such as 10.0.0.0/8 or fd00::/8"
            return [Finding("invalid_setting", message, path="OIDC_ALLOWED_NETWORKS")]
        return []
