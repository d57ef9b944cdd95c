"""From method and path to the function which answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from assembler_runner.devhub.accounts import Account
from assembler_runner.devhub.limits import Limits, Settings
from assembler_runner.devhub.repo import Commit, Repo, RepoKind
from assembler_runner.devhub.state import HubState
from assembler_runner.devhub.wire import Answer, Request, not_signed_in, revision_not_found

_PATTERNS = {"kind": "spaces|models|datasets", "repo": "[^/]+/[^/]+", "path": ".+"}


@dataclass(frozen=True)
class Call:
    """One request with everything a handler may need."""

    state: HubState
    settings: Settings
    limits: Limits
    request: Request
    account: Account | None
    wait: Callable[[float], object]
    """Sleeps, but not longer than the server lives."""

    def caller(self) -> Account:
        """The account, which must be there."""
        if self.account is None:
            raise not_signed_in()
        return self.account

    def read(self, kind: RepoKind, repo: str) -> Repo:
        """A repository to read."""
        return self.state.readable(self.account, kind, repo)

    def write(self, kind: RepoKind, repo: str) -> Repo:
        """A repository to change."""
        return self.state.writable(self.account, kind, repo)

    def commit(self, repo: Repo, rev: str) -> Commit:
        """The commit of a revision."""
        commit = repo.find_commit(rev)
        if commit is None:
            raise revision_not_found(rev)
        return commit


@dataclass(frozen=True)
class Route:
    """One row of a table of routes. Names in braces in `template` become arguments of `handler`.

    A locked handler runs alone; one that waits must not be.
    """

    method: str
    template: str
    handler: Callable[..., Answer]
    locked: bool = True
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        regex = re.sub(r"{(\w+)}", lambda m: f"(?P<{m[1]}>{_PATTERNS.get(m[1], '[^/]+')})", self.template)
        object.__setattr__(self, "pattern", re.compile(regex))

    def arguments(self, method: str, path: str) -> dict[str, str] | None:
        """The handler's arguments, if this route is meant."""
        match = self.pattern.fullmatch(path)
        if match is None or self.method != ("GET" if method == "HEAD" else method):
            return None
        found = {name: unquote(value) for name, value in match.groupdict().items()}
        if "kind" in found:
            found["kind"] = found["kind"].removesuffix("s")
        return found


def next_page(request: Request, cursor: int) -> dict[str, str]:
    """The header which leads to the next page of a list."""
    kept = [part for part in request.query.split("&") if part and not part.startswith("cursor=")]
    query = "&".join([*kept, f"cursor={cursor}"])
    return {"Link": f'<{request.base_url}{quote(request.path, safe="/%")}?{query}>; rel="next"'}


def cursor_of(request: Request) -> int:
    """Where the asked-for page of a list begins."""
    value = request.parameter("cursor", "0")
    return int(value) if value.isdigit() else 0
