"""What only Spaces have: runtime, secrets, variables, hardware, logs."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import get_args

from assembler_runner.devhub.accounts import Account
from assembler_runner.devhub.repo import Entry, LogKind, Repo, timestamp
from assembler_runner.devhub.routing import Call, Route
from assembler_runner.devhub.runtime import FREE_SLEEP_SECONDS, HARDWARE, PAID_HARDWARE, Stage
from assembler_runner.devhub.wire import Answer, HubError, Json, entry_not_found, json_answer, text_answer

_LOOK_SECONDS = 0.02


def runtime(call: Call, repo: str) -> Answer:
    """GET the runtime; only this counts as a poll."""
    found = call.read("space", repo)
    return _reason(call, found, found.runtime.poll())


def pause(call: Call, repo: str) -> Answer:
    """POST a pause."""
    found = _running_kind(call, repo)
    found.runtime.play([Stage("PAUSED")])
    return _reason(call, found)


def restart(call: Call, repo: str) -> Answer:
    """POST a restart, with `factory` a build from scratch; here both play the same stages."""
    found = _running_kind(call, repo)
    call.state.rebuild(found)
    return _reason(call, found)


def hardware(call: Call, repo: str) -> Answer:
    """POST other hardware."""
    found = call.write("space", repo)
    body = call.request.json()
    check_hardware(call.caller(), str(body.get("flavor")))
    found.hardware = body["flavor"]
    found.sleep_time = body.get("sleepTimeSeconds", found.sleep_time)
    call.state.rebuild(found)
    return _reason(call, found)


def sleep_time(call: Call, repo: str) -> Answer:
    """POST the seconds after which it falls asleep."""
    found = call.write("space", repo)
    found.sleep_time = call.request.json().get("seconds")
    return _reason(call, found)


def dev_mode(call: Call, repo: str) -> Answer:
    """POST dev mode on or off."""
    found = call.write("space", repo)
    found.dev_mode = bool(call.request.json().get("enabled"))
    return _reason(call, found)


def set_volumes(call: Call, repo: str) -> Answer:
    """PUT the volumes."""
    call.write("space", repo).volumes = list(call.request.json().get("volumes", []))
    return text_answer("OK")


def delete_volumes(call: Call, repo: str) -> Answer:
    """DELETE the volumes."""
    call.write("space", repo).volumes = []
    return text_answer("OK")


def secrets(call: Call, repo: str) -> Answer:
    """GET the names of the secrets; values never leave."""
    return json_answer({key: _row(entry) for key, entry in call.write("space", repo).secrets.items()})


def add_secret(call: Call, repo: str) -> Answer:
    """POST a secret, which restarts the Space."""
    found = call.write("space", repo)
    _add(found.secrets, call.request.json())
    call.state.rebuild(found)
    return json_answer({})


def delete_secret(call: Call, repo: str) -> Answer:
    """DELETE a secret; a missing one is no error."""
    found = call.write("space", repo)
    found.secrets.pop(str(call.request.json().get("key")), None)
    call.state.rebuild(found)
    return json_answer({})


def variables(call: Call, repo: str) -> Answer:
    """GET the variables."""
    return _variables(call.read("space", repo))


def add_variable(call: Call, repo: str) -> Answer:
    """POST a variable, which restarts the Space."""
    found = call.write("space", repo)
    _add(found.variables, call.request.json())
    call.state.rebuild(found)
    return _variables(found)


def delete_variable(call: Call, repo: str) -> Answer:
    """DELETE a variable; a missing one is no error."""
    found = call.write("space", repo)
    found.variables.pop(str(call.request.json().get("key")), None)
    call.state.rebuild(found)
    return _variables(found)


def logs(call: Call, repo: str, log: str) -> Answer:
    """GET a log as server-sent events."""
    found = call.write("space", repo)
    if log not in get_args(LogKind):
        raise entry_not_found()
    kind: LogKind = "build" if log == "build" else "run"
    tail = call.request.parameter("tail")
    first = max(0, len(found.logs[kind]) - int(tail)) if tail.isdigit() else 0
    return Answer(200, b"", {"Content-Type": "text/event-stream"}, stream=_events(call, found, kind, first))


def check_hardware(account: Account, flavor: str) -> None:
    """Refuse hardware which does not exist or which the account cannot pay."""
    if flavor not in HARDWARE:
        raise HubError(400, f'"hardware" must be one of {list(HARDWARE)}')
    if flavor in PAID_HARDWARE and not account.can_pay:
        raise HubError(402, "A payment method is required for this hardware")


def domain(repo: Repo) -> str:
    """Where the app of a Space is served."""
    return "".join(c if c.isalnum() else "-" for c in repo.id.lower()) + ".hf.space"


def runtime_body(repo: Repo, stage: Stage, *, with_sha: bool = False) -> Json:
    """A Space's runtime in the format of the Hub."""
    static = repo.sdk == "static"
    built = stage.name.startswith("RUNNING")
    body: Json = {
        "stage": stage.name,
        "hardware": {"current": repo.hardware if built else None, "requested": repo.hardware},
        "storage": None,
        "replicas": {"requested": 1, **({"current": 1} if built else {})},
    }
    if not static:
        body |= {"devMode": repo.dev_mode, "domains": [{"domain": domain(repo), "stage": "READY"}]}
        sleep = repo.sleep_time or (FREE_SLEEP_SECONDS if repo.hardware == "cpu-basic" else None)
        body |= {"gcTimeout": sleep} if sleep else {}
    if repo.volumes:
        body["volumes"] = repo.volumes
    if stage.error:
        body["errorMessage"] = stage.error
    if stage.sha or with_sha:
        body["sha"] = (repo.commits[-2:][0] if stage.sha == "previous" else repo.head).oid
    return body


def _reason(call: Call, repo: Repo, stage: Stage | None = None) -> Answer:
    return json_answer(runtime_body(repo, stage or repo.runtime.peek(), with_sha=call.settings.runtime_sha))


def _running_kind(call: Call, repo: str) -> Repo:
    found = call.write("space", repo)
    if found.sdk == "static":
        raise HubError(400, "Static Spaces cannot be paused or restarted")
    return found


def _add(entries: dict[str, Entry], body: Json) -> None:
    if not body.get("key") or "value" not in body:
        raise HubError(400, '"key" and "value" are required')
    entries[body["key"]] = Entry(body["value"], body.get("description"))


def _row(entry: Entry) -> Json:
    row: Json = {"updatedAt": timestamp(entry.updated)}
    return row | ({"description": entry.description} if entry.description else {})


def _variables(repo: Repo) -> Answer:
    return json_answer({key: {"value": entry.value, **_row(entry)} for key, entry in repo.variables.items()})


def _events(call: Call, repo: Repo, kind: LogKind, first: int) -> Generator[bytes]:
    """The lines that are there, then, as long as the stream stays open, those that are still to come."""
    call.state.open_logs += 1
    try:
        silent_since = time.monotonic()
        while True:
            lines = repo.logs[kind][first:]
            first += len(lines)
            for moment, line in lines:
                event = {"data": line, "timestamp": timestamp(moment)}
                yield f"data: {json.dumps(event)}\n\n".encode()
                silent_since = time.monotonic()
            if time.monotonic() - silent_since >= call.settings.logs_stay_open or call.wait(_LOOK_SECONDS):
                return
            # Keep-alive, which also tells a reader that has gone away.
            yield b"data:\n\n"
    finally:
        call.state.open_logs -= 1


ROUTES = [
    Route("GET", "/api/spaces/{repo}/runtime", runtime),
    Route("POST", "/api/spaces/{repo}/pause", pause),
    Route("POST", "/api/spaces/{repo}/restart", restart),
    Route("POST", "/api/spaces/{repo}/hardware", hardware),
    Route("POST", "/api/spaces/{repo}/sleeptime", sleep_time),
    Route("POST", "/api/spaces/{repo}/dev-mode", dev_mode),
    Route("PUT", "/api/spaces/{repo}/volumes", set_volumes),
    Route("DELETE", "/api/spaces/{repo}/volumes", delete_volumes),
    Route("GET", "/api/spaces/{repo}/secrets", secrets),
    Route("POST", "/api/spaces/{repo}/secrets", add_secret),
    Route("DELETE", "/api/spaces/{repo}/secrets", delete_secret),
    Route("GET", "/api/spaces/{repo}/variables", variables),
    Route("POST", "/api/spaces/{repo}/variables", add_variable),
    Route("DELETE", "/api/spaces/{repo}/variables", delete_variable),
    Route("GET", "/api/spaces/{repo}/logs/{log}", logs),
]
