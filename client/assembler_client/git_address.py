"""Addresses of git repositories as people write them: URL[@ref][#subdirectory]."""

from __future__ import annotations

from assembler_client.errors import invalid_input
from assembler_client.models import Finding

LATEST = "latest"


def git_fields(text: str) -> dict[str, str]:
    """Parses an address.

    Args:
        text: `URL[@ref][#subdirectory]`, also in pip's form with `git+` and `#subdirectory=`; `latest` stands for the
            newest commit of the repository that the Space was read from last.
    Returns:
        The field `git` of a request.
    Raises:
        InvalidRequest: it has no https address.
    """
    if text == LATEST:
        return {}
    place, _, folder = text.removeprefix("git+").partition("#")
    scheme, found, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    if not (found and host and slash and scheme in ("https", "http")):
        hint = "Write it as https://host/repository[@ref][#subdirectory]."
        finding = Finding(code="invalid_field", path="git.url", message=f"{text!r} is no git address.", hint=hint)
        raise invalid_input([finding])
    # Only after the last part of the path may an @ begin the ref: a host may have a user name, which the service tells.
    path, _, ref = path.rpartition("@") if "@" in path else (path, "", "")
    fields = {"url": f"{scheme}://{host}/{path}", "ref": ref, "subdirectory": folder.removeprefix("subdirectory=")}
    return {name: value for name, value in fields.items() if value}
