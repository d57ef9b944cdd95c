"""The control API under /_standin/, for tests which run the stand-in as a process of its own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from assembler_runner.devhub.accounts import Account
from assembler_runner.devhub.faults import Fault
from assembler_runner.devhub.limits import Limit, Settings
from assembler_runner.devhub.repo import Repo, timestamp
from assembler_runner.devhub.runtime import Stage
from assembler_runner.devhub.wire import Answer, HubError, Json, Request, json_answer

if TYPE_CHECKING:
    from assembler_runner.devhub.hub import StandInHub

PREFIX = "/_standin/"
_LIMITS = ("rate_limit", "create_quota", "commit_quota")


def respond(hub: StandInHub, request: Request) -> Answer:
    """Answer one control request; these are never recorded, delayed or hit by faults."""
    action = _ACTIONS.get((request.method, request.path.removeprefix(PREFIX)))
    if action is None:
        known = sorted(f"{method} {PREFIX}{name}" for method, name in _ACTIONS)
        return json_answer({"error": "Unknown control request", "known": known}, 404)
    try:
        with hub.state.lock:
            return json_answer(action(hub, request.json()))
    except HubError as error:
        return error.answer()
    except (TypeError, ValueError, KeyError) as error:
        return HubError(400, f"Cannot take this: {error!r}").answer()


def summary(hub: StandInHub) -> Json:
    """What the Hub holds: repositories with commits and digests, and how often was asked for what."""
    requests = hub.requests
    return {
        "url": hub.url,
        "repos": {f"{repo.kind}s/{repo.id}": _repo(hub, repo) for repo in hub.state.repos.values()},
        "requests": {
            "total": len(requests),
            "by_line": Counter(record.line for record in requests),
            "by_status": Counter(str(record.status) for record in requests),
        },
        "bugs": list(hub.bugs),
    }


def _repo(hub: StandInHub, repo: Repo) -> Json:
    return {
        "sdk": repo.sdk,
        "visibility": repo.visibility,
        "creator": repo.creator,
        "hardware": repo.hardware,
        "sleep_time": repo.sleep_time,
        "stage": repo.runtime.peek().name,
        "head": repo.head.oid,
        "created": timestamp(repo.created),
        "commits": [
            {
                "oid": commit.oid,
                "parent": commit.parent,
                "title": commit.title,
                "message": commit.message,
                "author": commit.author,
                "date": timestamp(commit.date),
                "initial": commit.initial,
            }
            for commit in repo.commits
        ],
        "tree": {path: _digest(hub.state.content(file)) for path, file in repo.head.tree.items()},
        "secrets": {key: _digest(entry.value.encode()) for key, entry in repo.secrets.items()},
        "variables": {key: entry.value for key, entry in repo.variables.items()},
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _items(body: Json) -> list[Json]:
    return list(body.get("items", [body]))


def _add_faults(hub: StandInHub, body: Json) -> Any:
    hub.faults.add(*[Fault(**item) for item in _items(body)])
    return _faults(hub, {})


def _faults(hub: StandInHub, body: Json) -> Any:
    return [asdict(fault) for fault in hub.faults.all()]


def _clear_faults(hub: StandInHub, body: Json) -> Any:
    hub.faults.clear()
    return []


def _latency(hub: StandInHub, body: Json) -> Any:
    hub.settings.latency = float(body["seconds"])
    return asdict(hub.settings)


def _settings(hub: StandInHub, body: Json) -> Any:
    unknown = set(body) - {field.name for field in fields(Settings)}
    if unknown:
        raise ValueError(f"unknown settings {sorted(unknown)}")
    for name, value in body.items():
        setattr(hub.settings, name, Limit(**value) if name in _LIMITS and value else value)
    return asdict(hub.settings)


def _account(hub: StandInHub, body: Json) -> Any:
    token = body.pop("token")
    hub.add_account(token, Account(**body))
    return {}


def _script(hub: StandInHub, body: Json) -> Any:
    hub.script(body["target"], [Stage(**step) for step in body["stages"]], now=bool(body.get("now")))
    return {}


def _logs(hub: StandInHub, body: Json) -> Any:
    hub.set_logs(body["space"], body["log"], body["lines"])
    return {}


def _push(hub: StandInHub, body: Json) -> Any:
    files = {path: None if text is None else str(text).encode() for path, text in body["files"].items()}
    return {"oid": hub.push(body["space"], files, body.get("title", "By hand")).oid}


def _requests(hub: StandInHub, body: Json) -> Any:
    return [asdict(record) for record in hub.requests]


def _clear_requests(hub: StandInHub, body: Json) -> Any:
    hub.clear_requests()
    return []


def _reset(hub: StandInHub, body: Json) -> Any:
    hub.reset()
    return {}


def _state(hub: StandInHub, body: Json) -> Any:
    return summary(hub)


_ACTIONS: dict[tuple[str, str], Callable[[StandInHub, Json], Any]] = {
    ("GET", "state"): _state,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _clear_requests,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "latency"): _latency,
    ("POST", "settings"): _settings,
    ("POST", "accounts"): _account,
    ("POST", "script"): _script,
    ("POST", "logs"): _logs,
    ("POST", "commit"): _push,
    ("POST", "reset"): _reset,
}
