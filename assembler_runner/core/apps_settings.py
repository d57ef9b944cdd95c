"""The settings of running apps on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assembler_runner.core.errors import Finding
from assembler_runner.core.setting import setting

_URL = re.compile(r"https?://[A-Za-z0-9{}.-]+(:[0-9]{1,5})?")


@dataclass(frozen=True)
class AppsSettings:
    """Settings of the apps of the target `local`."""

    APPS: str = setting(
        "",
        "Whether apps of the target `local` run on this machine: `process` (in a sandbox), `containers` (of Docker or "
        "Podman) or `off`; empty: `process` in `assembler serve` if a sandbox works here, else `off`.",
        choices=("", "off", "process", "containers"),
    )
    APPS_ENGINE: str = setting(
        "",
        "With `APPS=containers`, the container engine: `docker`, `podman`, or the path of its socket; empty: the "
        "first one that answers.",
    )
    APPS_ALLOWED_REALMS: str = setting("", "Realms whose apps may run, separated by commas; empty: all.")
    APPS_HOST: str = setting("127.0.0.1", "Address that the proxy of the apps listens on.")
    APPS_PORT: int = setting(5006, "Port of the proxy of the apps; 0 selects a free one.", at_least=0, at_most=65535)
    APPS_URL: str = setting(
        "",
        "URL of an app, such as `https://{app}.apps.example.org`; empty: `http://{app}.localhost` with APPS_PORT. With "
        "APPS_ROUTING=path without `{app}`.",
    )
    APPS_ROUTING: str = setting(
        "host",
        "How apps are distinguished: `host`, each with a host name of its own, or `path`, below `/apps/` of one host, "
        "where apps can read each other's data in a browser.",
        choices=("host", "path"),
    )
    APPS_SANDBOX: str = setting(
        "required",
        "With `APPS=process`: `required`: apps run only in a sandbox; `preferred`: without one where none works; "
        "`none`: without one. An app without a sandbox has the rights and the network of the service's account.",
        choices=("required", "preferred", "none"),
    )
    APPS_NETWORK: str = setting(
        "none",
        "Network of the apps: `none`; `outgoing`: HTTP and HTTPS to public addresses, by a proxy that is in the "
        "variables HTTP_PROXY and HTTPS_PROXY; `host`: all that this machine reaches, itself included.",
        choices=("none", "outgoing", "host"),
    )
    APPS_MEMORY: int = setting(2 * 2**30, "Maximum memory of one app in bytes; 0: no limit.", at_least=0)
    APPS_CPUS: int = setting(0, "Number of processors one app may use; 0: all.", at_least=0)
    APPS_PIDS: int = setting(256, "Maximum processes and threads of one app.", at_least=8)
    APPS_DISK: int = setting(
        2 * 2**30, "Maximum bytes of one app in `/data` and its working folder; 0: no limit.", at_least=0
    )
    APPS_MAX: int = setting(20, "Maximum apps that run at the same time.", at_least=1)
    APPS_REALM_MAX: int = setting(0, "Maximum apps of one realm that run at the same time; 0: no limit.", at_least=0)
    APPS_SLEEP: int = setting(
        3600, "Seconds without use until an app sleeps, unless the Space names a time; 0: never.", at_least=0
    )
    APPS_START_TIMEOUT: float = setting(
        300.0, "Seconds an app has to answer, unless its README.md names a time.", at_least=1
    )
    APPS_BUILD_TIMEOUT: float = setting(
        900.0, "Seconds the installation of requirements, or the build of an image, may take.", at_least=1
    )
    APPS_CACHE_MAX: int = setting(
        20 * 2**30, "Maximum bytes of installed requirements, or images, that are kept; 0: no limit.", at_least=0
    )

    @property
    def apps_allowed_realms(self) -> frozenset[str]:
        """The realms whose apps may run; empty for all."""
        return frozenset(part.strip() for part in self.APPS_ALLOWED_REALMS.split(",") if part.strip())

    @property
    def runs_apps(self) -> bool:
        """Whether apps of the target `local` run on this machine."""
        return self.APPS in ("process", "containers")


def bad_apps_settings(settings: AppsSettings) -> list[Finding]:
    """Finds settings that contradict each other.

    Args:
        settings: the settings.
    """
    if not settings.APPS_URL:
        return []
    named = settings.APPS_URL.count("{app}")
    wanted = 1 if settings.APPS_ROUTING == "host" else 0
    if _URL.fullmatch(settings.APPS_URL.replace("{app}", "app")) and named == wanted:
        return []
    form = "https://{app}.apps.example.org" if wanted else "https://apps.example.org"
    return [Finding("invalid_setting", f"APPS_URL must have the form {form}", path="APPS_URL")]
