"""The stand-in as tests use it."""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from assembler_runner.devhub import control, routes_files, routes_large, routes_repos, routes_space
from assembler_runner.devhub.accounts import Account
from assembler_runner.devhub.faults import Fault, Faults
from assembler_runner.devhub.limits import Limits, Settings
from assembler_runner.devhub.repo import Commit, File, LogKind, Repo
from assembler_runner.devhub.routing import Call
from assembler_runner.devhub.runtime import Step, stages
from assembler_runner.devhub.server import HubServer
from assembler_runner.devhub.state import HubState, RepoMovedError
from assembler_runner.devhub.wire import Answer, HubError, Request, bad_token, repo_not_found

ROUTES = [*routes_repos.ROUTES, *routes_space.ROUTES, *routes_files.ROUTES, *routes_large.ROUTES]


@dataclass
class Record:
    """One request that arrived. `status` and `ended` are None as long as, or when, nothing was answered."""

    method: str
    path: str
    query: str
    account: str | None
    time: float
    status: int | None = None
    fault: str | None = None
    ended: float | None = None

    @property
    def line(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


class StandInHub:
    """A Hub of one's own, as a context manager: it serves on a free port of 127.0.0.1 until left."""

    def __init__(self, port: int = 0) -> None:
        self.state = HubState()
        self.faults = Faults()
        self.settings = Settings()
        self.limits = Limits()
        self.bugs: list[str] = []
        self._records: list[Record] = []
        self._stopping = threading.Event()
        self._server = HubServer(self.respond, port)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.faults.end()
        self._server.stop()

    @property
    def url(self) -> str:
        """The endpoint to give to HfApi."""
        return self._server.url

    @property
    def requests(self) -> list[Record]:
        """What arrived, in order of arrival."""
        with self.state.lock:
            return list(self._records)

    def clear_requests(self) -> None:
        """Forget what arrived."""
        with self.state.lock:
            self._records.clear()

    def reset(self) -> None:
        """Back to the beginning: default accounts, no repositories, no faults, default settings."""
        self.state.reset()
        self.faults.clear()
        self.limits.clear()
        for name, value in vars(Settings()).items():
            setattr(self.settings, name, value)
        self.clear_requests()

    def add_account(self, token: str, account: Account) -> None:
        """Let a token act for an account."""
        self.state.add_account(token, account)

    def space(self, repo_id: str) -> Repo:
        """A Space; KeyError if there is none."""
        with self.state.lock:
            return self.state.repos["space", repo_id]

    def spaces(self) -> list[str]:
        """The names of all Spaces, oldest first."""
        with self.state.lock:
            return [repo_id for kind, repo_id in self.state.repos if kind == "space"]

    def tree(self, repo_id: str) -> dict[str, bytes]:
        """The files of a Space with their real content."""
        with self.state.lock:
            return {path: self.state.content(file) for path, file in self.space(repo_id).head.tree.items()}

    def commits(self, repo_id: str) -> list[Commit]:
        """The commits of a Space, oldest first, without the Hub's own first one."""
        with self.state.lock:
            return [commit for commit in self.space(repo_id).commits if not commit.initial]

    def push(self, repo_id: str, files: Mapping[str, bytes | None], title: str = "By hand") -> Commit:
        """Commit as a person with another tool would: contents to write, None for what to delete."""
        with self.state.lock:
            repo = self.space(repo_id)
            changed = {**repo.head.tree, **{path: File(data) for path, data in files.items() if data is not None}}
            tree = {path: file for path, file in changed.items() if files.get(path, b"") is not None}
            made = repo.add_commit(title, "", repo.creator, tree)
            self.state.rebuild(repo)
            return made

    def script(self, target: str, steps: Iterable[Step], *, now: bool = False) -> None:
        """Play these stages for a Space (`ns/name`) or an SDK from the next build on, or at once."""
        self.state.script(target, steps, now=now)

    def set_stage(self, repo_id: str, stage: Step) -> None:
        """Put a Space into a stage, where it stays (STOPPED is asleep)."""
        self.space(repo_id).runtime.play(stages([stage]))

    def set_logs(self, repo_id: str, log: LogKind, lines: Iterable[str]) -> None:
        """Replace a log."""
        with self.state.lock:
            repo = self.space(repo_id)
            repo.logs[log].clear()
            repo.log(log, *lines)

    def respond(self, request: Request) -> Answer:
        """Answer one request: as the Hub would, as a fault says, or as a call of the control API."""
        if request.path.startswith(control.PREFIX):
            return control.respond(self, request)
        account = self.state.accounts.get(request.token or "")
        name = account.name if account else None
        record = Record(request.method, unquote(request.path), request.query, name, time.monotonic())
        with self.state.lock:
            self._records.append(record)
        self._stopping.wait(self.settings.latency)
        fault = self.faults.take(record.method, record.path, name)
        record.fault = fault.kind if fault else None
        answer = self._strike(fault, request, account) if fault else self._work(request, account)
        record.status = None if answer.delivery == "never" else answer.status
        record.ended = None if answer.delivery == "never" else time.monotonic()
        answer.headers["X-Request-Id"] = f"Root=1-{uuid.uuid4()}"
        return answer

    def _strike(self, fault: Fault, request: Request, account: Account | None) -> Answer:
        done = self._work(request, account) if fault.works_first else None
        fault.wait()
        if fault.kind == "hang":
            return done or self._work(request, account)
        if fault.kind == "truncate" and done:
            done.delivery = "cut"
            return done
        if fault.kind in ("drop_before", "drop_after"):
            return Answer(delivery="never")
        return fault.answer()

    def _work(self, request: Request, account: Account | None) -> Answer:
        limit = self.settings.rate_limit if request.path.startswith("/api/") else None
        if limit is None:
            return self._route(request, account)
        standing = self.limits.count("api", account.name if account else "anonymous", limit)
        if standing.exceeded:
            answer = HubError(429, "You have exceeded the rate limit. Please retry later.").answer()
        else:
            answer = self._route(request, account)
        answer.headers.update(standing.headers())
        return answer

    def _route(self, request: Request, account: Account | None) -> Answer:
        try:
            if request.token and account is None:
                raise bad_token()
            return self._handle(request, account)
        except HubError as error:
            return error.answer()
        except Exception:  # noqa: BLE001  (the client gets a 500, the test finds it in `bugs`)
            self.bugs.append(traceback.format_exc())
            traceback.print_exc()
            return HubError(500, "Internal Error: the stand-in has a bug").answer()

    def _handle(self, request: Request, account: Account | None) -> Answer:
        call = Call(self.state, self.settings, self.limits, request, account, self._stopping.wait)
        for route in ROUTES:
            arguments = route.arguments(request.method, request.path)
            if arguments is None:
                continue
            try:
                if not route.locked:
                    return route.handler(call, **arguments)
                with self.state.lock:
                    return route.handler(call, **arguments)
            except RepoMovedError as moved:
                return _redirect(request, moved)
        raise HubError(404, "Sorry, we can't find the page you are looking for.")


def _redirect(request: Request, moved: RepoMovedError) -> Answer:
    if moved.old_id not in request.path:
        raise repo_not_found()
    query = f"?{request.query}" if request.query else ""
    location = request.base_url + request.path.replace(moved.old_id, moved.new_id, 1) + query
    return Answer(307, headers={"Location": location})
