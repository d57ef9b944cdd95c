"""All settings of the service, read from environment variables.

Each field of :class:`Settings` declares a setting, its environment variable and its documentation in one place.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from assembler_runner.core.apps_settings import AppsSettings, bad_apps_settings
from assembler_runner.core.errors import Finding, SettingsError
from assembler_runner.core.flame_settings import PLUGINS, FlameSettings, bad_flame_settings
from assembler_runner.core.oidc_settings import OidcSettings
from assembler_runner.core.places import bundled
from assembler_runner.core.setting import setting

if TYPE_CHECKING:
    from flask import Flask

SECRET_BYTES = 32
PASSWORD_CHARACTERS = 8
"""What a password needs at least, that of the first user as any other."""
_EXTENSION = "assembler-settings"
_FILE_STORE = re.compile(r"database|local_filesystem|s3://[A-Za-z0-9][A-Za-z0-9._-]{1,62}(/[A-Za-z0-9._/-]*)?")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class Settings(FlameSettings, AppsSettings, OidcSettings):
    """The settings of one process; each field is the environment variable of the same name."""

    SQLALCHEMY_DATABASE_URI: str = setting(
        "", "Database; empty: SQLite in the instance folder. `postgresql+psycopg://…` or `mariadb+pymysql://…`."
    )
    BROKER_URL: str = setting(
        "memory://", "Celery broker: `memory://` (only inside `assembler serve`), `redis://…` or `amqp://…`."
    )
    RESULT_BACKEND: str = setting("", "Celery result backend; not needed, results are stored in the database.")
    CELERY_QUEUE: str = setting("assembler", "Name of the Celery queue shared by API and workers.")
    DEFAULT_FILE_STORE: str = setting(
        "database",
        "Where files are stored: `database`, `local_filesystem` (in the instance folder) or `s3://bucket[/prefix]`.",
    )
    INSTANCE_FOLDER: str = setting(
        "",
        "Folder with the data of this installation, such as local Spaces; empty: `instance` in the clone, or, if "
        "installed from a wheel, in the current folder. `assembler serve` uses `--instance`.",
    )
    SERVER_NAME: str = setting(
        "", "Host name (and port) of this service in all URLs that it returns; empty: the Host of the request."
    )
    PLUGIN_FOLDERS: str = setting("", "Folders with further plugins, separated by `:`.")
    BUNDLED_PLUGINS: str = setting(str(bundled("plugins")), "Folder with the bundled plugins; empty: without them.")
    GIT_PLUGINS: str = setting(
        "", "Git repositories with plugins, one per line: `git+https://…[@ref][#subdirectory=folder]`."
    )
    GIT_PLUGIN_PROTOCOLS: str = setting(
        "https", "Protocols allowed in GIT_PLUGINS, separated by `,`: https, ssh, file, http, git."
    )
    GIT_PLUGIN_FOLDER: str = setting("", "Folder for plugins from git; empty: `git-plugins` in the instance folder.")
    CONTAINER_MODE: str = setting(
        "server",
        "What a container runs: `server`, `worker`, `beat`, `apps` (the apps of the target local), or `migrate`, which "
        "exits when the database is up to date.",
        choices=("server", "worker", "beat", "migrate", "apps"),
    )
    CONCURRENCY: int = setting(8, "Requests that one worker process publishes at the same time.", at_least=1)
    CELERY_WORKER_POOL: str = setting(
        "threads", "Celery pool of a worker.", choices=("threads", "prefork", "gevent", "solo")
    )
    PERIODIC_SCHEDULER: bool = setting(False, "Run Celery beat inside this worker.")
    SERVER_PORT: int = setting(8080, "Port of the server in a container.", at_least=1)
    GUNICORN_WORKERS: int = setting(2, "Server processes in a container.", at_least=1)
    MIGRATION_WAIT: float = setting(
        120.0, "Seconds a container waits until the database responds and is migrated.", at_least=0
    )
    ALIVE_FILE: str = setting(
        "", "File that a worker touches while it can reach the database, for the container's health check; empty: none."
    )
    SECRET_KEY: str = setting("", "Key that encrypts secrets in the database; at least 32 characters.", secret=True)
    OLD_SECRET_KEYS: str = setting(
        "",
        "Former values of SECRET_KEY, one per line, until `assembler secrets rotate` has finished.",
        secret=True,
    )
    JWT_SECRET_KEY: str = setting("", "Key that signs access tokens; at least 32 characters.", secret=True)
    ADMIN_PASSWORD: str = setting(
        "", "Password of the first user `admin`, at least 8 characters; empty: a random one, printed once.", secret=True
    )
    HF_TOKEN: str = setting(
        "", "Token of the Hugging Face Hub with write access, used for the realm `master`.", secret=True
    )
    HF_ENDPOINT: str = setting("https://huggingface.co", "URL of the Hub.")
    DEFAULT_TARGET: str = setting(
        "",
        "Target of requests that name none: `huggingface` or `local`; empty: `huggingface` if HF_TOKEN is set.",
        choices=("", "huggingface", "local"),
    )
    CREATE_SPACE_WAIT: float = setting(25.0, "Seconds that POST /create-space waits for the result.", at_least=0)
    ACCESS_TOKEN_SECONDS: int = setting(3600, "Seconds an access token is valid.", at_least=1)
    REFRESH_TOKEN_SECONDS: int = setting(30 * 24 * 3600, "Seconds a refresh token is valid.", at_least=1)
    REFRESH_GRACE_SECONDS: int = setting(
        60, "Seconds a replaced refresh token still works, for programs that refresh in parallel.", at_least=0
    )
    BROWSER_SESSION_SECONDS: int = setting(
        12 * 3600, "Seconds without a visit after which a person is signed out of the web pages.", at_least=60
    )
    MAX_LOGIN_FAILURES: int = setting(
        10, "Failed logins of one account from one address in five minutes before further logins must wait.", at_least=1
    )
    DEFAULT_ROLE: str = setting(
        "member", "Role of new users and robots; empty: none.", choices=("", "viewer", "member")
    )
    REALM_MAX_SPACES: int = setting(0, "Maximum Spaces of a realm; 0: no limit.", at_least=0)
    REALM_MAX_REQUESTS_PER_HOUR: int = setting(0, "Maximum requests of a realm per hour; 0: no limit.", at_least=0)
    REALM_MAX_BYTES: int = setting(0, "Maximum bytes in files of all requests of a realm; 0: no limit.", at_least=0)
    ACCOUNT_MAX_SPACES: int = setting(0, "Maximum Spaces of a user or robot; 0: no limit.", at_least=0)
    ACCOUNT_MAX_REQUESTS_PER_HOUR: int = setting(
        0, "Maximum requests of a user or robot per hour; 0: no limit.", at_least=0
    )
    ACCOUNT_MAX_BYTES: int = setting(
        0, "Maximum bytes in files of all requests of a user or robot; 0: no limit.", at_least=0
    )
    CORS_ORIGINS: str = setting(
        "", "Origins whose pages may call the API from a browser, separated by commas; empty: none."
    )
    TRUSTED_PROXIES: int = setting(
        0, "Number of proxies in front of the service whose X-Forwarded- headers are trusted.", at_least=0
    )
    MAX_REQUEST_BYTES: int = setting(2**30, "Largest request body in bytes.", at_least=1)
    MAX_JSON_BYTES: int = setting(
        64 * 2**20, "Largest JSON in a request in bytes; larger files go as multipart or into buckets.", at_least=1
    )
    MAX_FILE_BYTES: int = setting(2**30, "Largest single file in bytes.", at_least=1)
    MAX_FILES: int = setting(2000, "Maximum number of files in one request.", at_least=1)
    MAX_SPACE_BYTES: int = setting(4 * 2**30, "Maximum size of all files of a Space in bytes.", at_least=1)
    MAX_PATH_BYTES: int = setting(1000, "Longest path of a file in bytes, at most 1000.", at_least=1, at_most=1000)
    MAX_PATH_DEPTH: int = setting(32, "Maximum number of segments in a file's path.", at_least=1)
    MAX_ARCHIVE_BYTES: int = setting(2 * 2**30, "Maximum size of an unpacked archive in bytes.", at_least=1)
    MAX_ARCHIVE_ENTRIES: int = setting(10_000, "Maximum number of files and folders in an archive.", at_least=1)
    MAX_ARCHIVE_RATIO: int = setting(
        100, "Maximum ratio of an archive's unpacked to its packed size; checked from 10 MiB on.", at_least=1
    )
    MAX_ARCHIVE_SECONDS: float = setting(60.0, "Maximum seconds to unpack an archive.", at_least=0.1)
    MAX_GIT_BYTES: int = setting(
        512 * 2**20, "Maximum bytes that a git repository transfers as a source of files.", at_least=1
    )
    MAX_GIT_SECONDS: float = setting(60.0, "Maximum seconds to read a git repository.", at_least=1)
    MAX_GIT_FETCHES: int = setting(16, "Maximum number of git repositories one process reads at a time.", at_least=1)
    HUB_TIMEOUT: float = setting(30.0, "Seconds to wait for a response of the Hub.", at_least=0.1)
    LEASE_SECONDS: float = setting(
        60.0,
        "Seconds after which another worker takes over from one that no longer responds.",
        at_least=1,
    )
    RESEND_SECONDS: float = setting(10.0, "Seconds after which a wake-up without effect is sent again.", at_least=0.1)
    MAX_ERRORS: int = setting(8, "Number of retries after transient errors before a request fails.", at_least=1)
    FOLLOW_SECONDS: float = setting(
        2.0, "Seconds between two probes of an app right after a commit; the interval grows with time.", at_least=0.02
    )
    BUILD_TIMEOUT: float = setting(3600.0, "Seconds after which an unfinished build or start fails.", at_least=1)
    WATCH_SECONDS: float = setting(
        3600.0, "Seconds between two probes of an app in a final state; 0: only on request.", at_least=0
    )
    MAX_LOG_STREAMS: int = setting(16, "Maximum number of live log streams of one process.", at_least=1)
    MAX_QUEUE: int = setting(10_000, "Maximum number of queued requests; more are rejected with 503.", at_least=1)
    MAX_QUEUE_WAIT: float = setting(
        3600.0, "Maximum expected wait in seconds; requests that would wait longer are rejected with 503.", at_least=1
    )
    WEBHOOK_ALLOWED_NETWORKS: str = setting(
        "",
        "Networks that webhooks and git sources may reach although they are not public, separated by commas, such as "
        "`10.0.0.0/8`.",
    )
    WEBHOOK_RETRY_SECONDS: str = setting(
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        "Seconds to wait after each failed delivery attempt, separated by commas; after the last, the delivery fails.",
    )
    MAX_EVENT_READERS: int = setting(
        500, "Maximum number of live event streams of one process; more are rejected with 503.", at_least=1
    )
    KEEP_REQUESTS_DAYS: float = setting(
        0.0, "Days to keep failed and cancelled requests, and all requests of deleted Spaces; 0: for ever.", at_least=0
    )
    KEEP_EVENTS_DAYS: float = setting(0.0, "Days to keep events of requests that have ended; 0: for ever.", at_least=0)
    KEEP_DELIVERIES_DAYS: float = setting(
        30.0, "Days to keep webhook deliveries that succeeded or failed for good; 0: for ever.", at_least=0
    )
    DRAIN_SECONDS: float = setting(20.0, "Seconds that running work has to finish when the service stops.", at_least=0)
    LOG_LEVEL: str = setting("INFO", "Level of the log.", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    LOG_FORMAT: str = setting(
        "text", "Format of the log: `text`, or `json` with one object per line.", choices=("text", "json")
    )
    METRICS_TOKEN: str = setting(
        "", "Token that grants access to /metrics, for a Prometheus without an account; empty: none.", secret=True
    )
    METRICS_PORT: int = setting(0, "Port where a worker serves its own /metrics; 0: none.", at_least=0, at_most=65535)

    @property
    def oidc_audience(self) -> str:
        """The audience of tokens that are exchanged; empty if none are."""
        return self.OIDC_AUDIENCE or (f"https://{self.SERVER_NAME}" if self.SERVER_NAME else "")

    @property
    def plugin_folders(self) -> list[Path]:
        """The plugin folders, in the order they are searched; each once."""
        of_flame = str(PLUGINS) if self.FLAME_CORE_URL else ""
        parts = [self.BUNDLED_PLUGINS, of_flame, *self.PLUGIN_FOLDERS.split(":")]
        return list({Path(part).resolve(): Path(part) for part in parts if part}.values())

    @property
    def git_plugins(self) -> list[str]:
        """The lines of GIT_PLUGINS."""
        return [line.strip() for line in self.GIT_PLUGINS.splitlines() if line.strip()]

    @property
    def git_plugin_protocols(self) -> frozenset[str]:
        """The protocols allowed in GIT_PLUGINS."""
        return frozenset(word.strip() for word in self.GIT_PLUGIN_PROTOCOLS.split(",") if word.strip())

    @property
    def cors_origins(self) -> list[str]:
        """The origins whose pages may use the API."""
        return [part.strip().rstrip("/") for part in self.CORS_ORIGINS.split(",") if part.strip()]

    @property
    def webhook_allowed_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """The networks that webhooks may reach although they are not public."""
        return [ipaddress.ip_network(part.strip()) for part in self.WEBHOOK_ALLOWED_NETWORKS.split(",") if part.strip()]

    @property
    def webhook_retry_seconds(self) -> list[float]:
        """Seconds to wait after each failed delivery attempt."""
        return [float(part) for part in self.WEBHOOK_RETRY_SECONDS.split(",") if part.strip()]

    @property
    def secret_keys(self) -> list[str]:
        """SECRET_KEY and its former values, newest first."""
        return [self.SECRET_KEY, *(part.strip() for part in self.OLD_SECRET_KEYS.splitlines() if part.strip())]


SETTINGS: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(Settings)


def load(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Reads the settings.

    Args:
        environ: environment variables; unknown ones are ignored.
        overrides: values that take precedence over the environment, by setting name.
    Returns:
        The checked settings.
    Raises:
        SettingsError: with one finding per invalid value.
    """
    hints = typing.get_type_hints(Settings)
    values: dict[str, Any] = dict(overrides)
    findings = []
    for row in SETTINGS:
        if row.name in values or row.name not in environ:
            continue
        try:
            values[row.name] = _parse(row, hints[row.name], environ[row.name])
        except ValueError as problem:
            shown = "" if row.metadata["secret"] else f" (it is {environ[row.name]!r})"
            findings.append(
                Finding("invalid_setting", f"{row.name} {problem}{shown}", path=row.name, hint=row.metadata["help"])
            )
    findings += [
        finding
        for name in ("SECRET_KEY", "JWT_SECRET_KEY", "METRICS_TOKEN")
        if (finding := _weak_secret(name, values.get(name, "")))
    ]
    if 0 < len(values.get("ADMIN_PASSWORD", "")) < PASSWORD_CHARACTERS:
        message = f"ADMIN_PASSWORD is too short: it needs at least {PASSWORD_CHARACTERS} characters"
        findings.append(Finding("invalid_setting", message, path="ADMIN_PASSWORD"))
    if not _FILE_STORE.fullmatch(store := values.get("DEFAULT_FILE_STORE", "database")):
        message = f"DEFAULT_FILE_STORE must be database, local_filesystem or s3://bucket[/prefix] (it is {store!r})"
        findings.append(Finding("invalid_setting", message, path="DEFAULT_FILE_STORE"))
    findings += [_bad_origin(origin) for origin in Settings(**values).cors_origins if not _ORIGIN.fullmatch(origin)]
    findings += [*_bad_webhook_settings(Settings(**values)), *Settings(**values).oidc_findings()]
    findings += bad_apps_settings(Settings(**values))
    findings += bad_flame_settings(Settings(**values))
    if findings:
        raise SettingsError("; ".join(finding.message for finding in findings), issues=findings)
    return Settings(**values)


def _parse(row: dataclasses.Field[Any], kind: Any, text: str) -> Any:
    value: Any = text.strip() if kind is not str or row.metadata["choices"] else text
    if kind is bool:
        booleans = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
            "": False,
        }
        if value.lower() not in booleans:
            raise ValueError("must be true or false")
        return booleans[value.lower()]
    if kind in (int, float):
        try:
            value = kind(value)
        except ValueError:
            raise ValueError("must be a whole number" if kind is int else "must be a number") from None
        if math.isnan(value) or (row.metadata["at_least"] is not None and value < row.metadata["at_least"]):
            raise ValueError(f"must be at least {row.metadata['at_least']}")
        if row.metadata["at_most"] is not None and value > row.metadata["at_most"]:
            raise ValueError(f"must be at most {row.metadata['at_most']}")
    if row.metadata["choices"] and value not in row.metadata["choices"]:
        raise ValueError("must be one of " + ", ".join(choice or "(empty)" for choice in row.metadata["choices"]))
    return value


def _bad_origin(origin: str) -> Finding:
    message = f"CORS_ORIGINS must name origins such as https://app.example.org (one is {origin!r})"
    return Finding("invalid_setting", message, path="CORS_ORIGINS", hint="Every origin must be named; there is no *.")


def _bad_webhook_settings(settings: Settings) -> list[Finding]:
    findings = []
    try:
        _ = settings.webhook_allowed_networks
    except ValueError:
        message = "WEBHOOK_ALLOWED_NETWORKS must name networks such as 10.0.0.0/8 or fd00::/8"
        findings.append(Finding("invalid_setting", message, path="WEBHOOK_ALLOWED_NETWORKS"))
    try:
        bad = any(not 0 <= seconds < math.inf for seconds in settings.webhook_retry_seconds)
    except ValueError:
        bad = True
    if bad:
        message = "WEBHOOK_RETRY_SECONDS must be numbers from 0, separated by commas"
        findings.append(Finding("invalid_setting", message, path="WEBHOOK_RETRY_SECONDS"))
    return findings


def _weak_secret(name: str, value: str) -> Finding | None:
    if not value or (len(value.encode()) >= SECRET_BYTES and len(set(value)) >= 10):
        return None
    return Finding(
        "weak_secret",
        f"{name} is too weak: it needs at least {SECRET_BYTES} characters, 10 of them different",
        path=name,
        hint='Generate one with: python -c "import secrets; print(secrets.token_urlsafe(48))"',
    )


def public_values(settings: Settings) -> types.MappingProxyType[str, Any]:
    """Returns all settings for display; secret ones only as `set` or `not set`."""
    shown = {row.name: getattr(settings, row.name) for row in SETTINGS}
    shown |= {row.name: "set" if shown[row.name] else "not set" for row in SETTINGS if row.metadata["secret"]}
    return types.MappingProxyType(shown)


def attach(app: Flask, settings: Settings) -> None:
    """Makes the settings available to :func:`current_settings` within an application.

    Args:
        app: the application.
        settings: its checked settings.
    """
    app.extensions[_EXTENSION] = settings


def current_settings() -> Settings:
    """Returns the settings of the current Flask application."""
    # The health check loads this module every few seconds, and needs no Flask.
    from flask import current_app

    return cast(Settings, current_app.extensions[_EXTENSION])
