"""Everything the stand-in remembers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

from assembler_runner.devhub import cards
from assembler_runner.devhub.accounts import Account, default_accounts
from assembler_runner.devhub.repo import File, Repo, RepoKind, Tree
from assembler_runner.devhub.runtime import BUILD, Stage, Step, stages
from assembler_runner.devhub.wire import HubError, not_signed_in, repo_not_found

_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_]([\w\-.]{0,94}\w)?", re.ASCII)
RepoKey = tuple[RepoKind, str]


class RepoMovedError(Exception):
    """The repository lives under another name now."""

    def __init__(self, old_id: str, new_id: str) -> None:
        super().__init__(old_id, new_id)
        self.old_id = old_id
        self.new_id = new_id


class HubState:
    """Accounts, repositories and large files. Hold `lock` while looking at more than one thing."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.repos: dict[RepoKey, Repo] = {}
        self.moved: dict[RepoKey, str] = {}
        self.large_files: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.scripts: dict[str, list[Stage]] = {}
        self.creating: set[str] = set()
        self.open_logs = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything but the default accounts."""
        with self.lock:
            for memory in (self.repos, self.moved, self.large_files, self.parts, self.scripts, self.creating):
                memory.clear()
            self.accounts = default_accounts()

    def add_account(self, token: str, account: Account) -> None:
        """Let a token act for an account."""
        with self.lock:
            self.accounts[token] = account

    def revoke(self, token: str) -> None:
        """Make a token a bad one."""
        with self.lock:
            self.accounts.pop(token, None)

    def find(self, kind: RepoKind, repo_id: str) -> Repo | None:
        """The repository of that name."""
        with self.lock:
            return self.repos.get((kind, repo_id))

    def readable(self, account: Account | None, kind: RepoKind, repo_id: str) -> Repo:
        """The repository, if the caller may see it."""
        repo = self.find(kind, repo_id)
        if repo is None and (kind, repo_id) in self.moved:
            raise RepoMovedError(repo_id, self.moved[kind, repo_id])
        hidden = repo is not None and repo.visibility != "public"
        if repo and (not hidden or (account and account.role_in(repo.namespace))):
            return repo
        raise repo_not_found() if account else not_signed_in()

    def writable(self, account: Account | None, kind: RepoKind, repo_id: str) -> Repo:
        """The repository, if the caller may change it."""
        if account is None:
            raise not_signed_in()
        repo = self.readable(account, kind, repo_id)
        if not account.may_write(repo.namespace, repo.creator):
            raise HubError(403, f"You don't have the rights to change {repo.id}")
        return repo

    def create(self, repo: Repo, tree: Tree | None = None, title: str = "initial commit") -> Repo:
        """Store a new repository with the Hub's own first commit."""
        name = repo.id.partition("/")[2]
        with self.lock:
            repo.add_commit(
                title, "", repo.creator, tree or cards.initial_tree(repo.kind, name, repo.sdk), initial=True
            )
            repo.runtime.play(default_stages(repo))
            self.repos[repo.kind, repo.id] = repo
            self.moved.pop((repo.kind, repo.id), None)
        return repo

    def move(self, repo: Repo, new_id: str) -> None:
        """Rename a repository; the old name leads to the new one."""
        with self.lock:
            del self.repos[repo.kind, repo.id]
            self.moved[repo.kind, repo.id] = new_id
            self.moved.pop((repo.kind, new_id), None)
            repo.id = new_id
            self.repos[repo.kind, new_id] = repo

    def script(self, target: str, steps: Iterable[Step], *, now: bool = False) -> None:
        """Play these stages for a Space (`ns/name`) or an SDK from the next build on, or at once."""
        with self.lock:
            self.scripts[target] = stages(steps)
            repo = self.find("space", target)
            if now and repo:
                repo.runtime.play(self.scripts[target])

    def rebuild(self, repo: Repo) -> None:
        """Start what a commit or a restart starts."""
        if repo.kind != "space":
            return
        script = self.scripts.get(repo.id) or self.scripts.get(repo.sdk or "") or default_stages(repo)
        repo.runtime.play(script)

    def content(self, file: File) -> bytes:
        """The real content of a file."""
        return self.large_files[file.large.sha256] if file.large else file.data


def valid_name(name: str) -> bool:
    """Whether the Hub takes this as a repository's name."""
    return _NAME.fullmatch(name) is not None and not name.endswith(".git")


def default_stages(repo: Repo) -> list[Stage]:
    """What becomes of a Space when nothing is scripted."""
    tree = repo.head.tree
    card = cards.card_of(tree)
    if card is None:
        return [Stage("CONFIG_ERROR", error="Missing configuration in README")]
    if repo.sdk == "static":
        return [Stage("RUNNING")]
    if not cards.has_app(tree, repo.sdk or "", card):
        return [Stage("NO_APP_FILE")]
    return BUILD
