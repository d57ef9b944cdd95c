"""What of this installation's surroundings matters for its safety: versions with known holes, proxies, open files."""

from __future__ import annotations

import ipaddress
import resource
import sys
from collections.abc import Iterator
from importlib import metadata

import sqlalchemy as sa
from packaging.version import Version
from sqlalchemy.exc import SQLAlchemyError

from assembler_runner.accounts.models import AuditEntry
from assembler_runner.core.settings import Settings

SafetyWarning = tuple[str, str, str]
"""Part, message and hint."""

OTHER_FILES = 500
"""Open files beside streams: connections of callers, databases, brokers and targets."""

RECENT = 50
"""Entries of the audit log that are read."""

# Advisories of the projects themselves; the first version without the hole.
LIBRARIES = {
    "waitress": ("3.0.1", "CVE-2024-49768: a pipelined request is handled after its connection was refused"),
    "gunicorn": ("23.0.0", "CVE-2024-1135 and CVE-2024-6827: requests can be smuggled past a proxy"),
    "werkzeug": ("3.0.6", "CVE-2024-49767: forms take memory without a limit"),
    "jinja2": ("3.1.6", "CVE-2025-27516: templates leave their sandbox"),
    "h11": ("0.16.0", "CVE-2025-43859: malformed chunks are accepted"),
    "flask-cors": ("6.0.0", "CVE-2024-6866: paths match without regard to case"),
    "urllib3": ("2.5.0", "CVE-2025-50181: redirects are followed although they are disabled"),
}
PYTHON_FIXED = {(3, 11): (3, 11, 10), (3, 12): (3, 12, 6)}
"""First versions without CVE-2024-6232."""


def warnings(settings: Settings, engine: sa.Engine) -> Iterator[SafetyWarning]:
    """Finds what could be safer.

    Args:
        settings: the settings.
        engine: the database; may not answer.
    """
    yield from _python(sys.version_info[:3])
    yield from _libraries()
    yield from _proxies(settings, engine)
    yield from _open_files(settings, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _python(version: tuple[int, int, int]) -> Iterator[SafetyWarning]:
    fixed = PYTHON_FIXED.get(version[:2])
    if fixed is not None and version < fixed:
        shown = ".".join(map(str, version))
        message = f"Python {shown} has CVE-2024-6232: its tarfile hangs on hostile archives"
        hint = (
            f"The service reads archives without it; plugins may not. Use Python {'.'.join(map(str, fixed))} or newer."
        )
        yield "python", message, hint


def _libraries() -> Iterator[SafetyWarning]:
    for name, (fixed, hole) in LIBRARIES.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(version) < Version(fixed):
            yield "libraries", f"{name} {version} has a known hole ({hole})", f"Install {name} {fixed} or newer."


def _proxies(settings: Settings, engine: sa.Engine) -> Iterator[SafetyWarning]:
    if settings.TRUSTED_PROXIES:
        return
    if not settings.SERVER_NAME and not _from_one_inner_address(engine):
        return
    message = "TRUSTED_PROXIES is 0: behind a reverse proxy all callers have its address, and share its limits"
    yield "proxies", message, "Set it to the number of proxies in front, if there are any."


def _from_one_inner_address(engine: sa.Engine) -> bool:
    query = sa.select(AuditEntry.address).where(AuditEntry.address.is_not(None)).order_by(AuditEntry.created_at.desc())
    try:
        with engine.connect() as connection:
            addresses = list(connection.scalars(query.limit(RECENT)))
    except SQLAlchemyError:
        return False
    if len(addresses) < RECENT or len(set(addresses)) > 1:
        return False
    try:
        address = ipaddress.ip_address(str(addresses[0]))
    except ValueError:
        return False
    return address.is_private and not address.is_loopback


def _open_files(settings: Settings, most: int) -> Iterator[SafetyWarning]:
    needed = settings.MAX_EVENT_READERS + settings.MAX_LOG_STREAMS + OTHER_FILES
    if most != resource.RLIM_INFINITY and most < needed:
        message = f"the process may open {most} files; its streams and connections need {needed}"
        yield "open files", message, "Raise the limit (ulimit -n, LimitNOFILE), or lower MAX_EVENT_READERS."
