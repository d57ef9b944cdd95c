"""Names of browsers for people, from what browsers say of themselves."""

from __future__ import annotations

# The first that fits counts: each browser also names those that it descends from.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(user_agent: str | None) -> str:
    """Returns browser and system, such as `Firefox, Linux`; of another program the beginning of what it says.

    Args:
        user_agent: the header User-Agent.
    """
    said = user_agent or ""
    found = [next((name for mark, name in known if mark in said), None) for known in (_BROWSERS, _SYSTEMS)]
    return ", ".join(name for name in found if name) if found[0] else said[:40]
