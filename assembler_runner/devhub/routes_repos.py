"""Accounts and repositories: make, find, move, delete."""

from __future__ import annotations

from typing import Any

from assembler_runner.devhub.accounts import Account, object_id
from assembler_runner.devhub.cards import card_of
from assembler_runner.devhub.repo import Commit, Entry, File, Repo, RepoKind, timestamp
from assembler_runner.devhub.routes_space import check_hardware, domain, runtime_body
from assembler_runner.devhub.routing import Call, Route
from assembler_runner.devhub.runtime import FREE_HARDWARE, HARDWARE, SDKS
from assembler_runner.devhub.state import valid_name
from assembler_runner.devhub.wire import Answer, HubError, Json, json_answer, text_answer

PAY_WALL = (
    "Static Spaces are free for everyone, but hosting Gradio and Docker Spaces on free cpu-basic "
    "requires a PRO subscription. Subscribe at https://huggingface.co/pro"
)
CONFLICT = "Cannot create repo: another conflicting operation is in progress"
VISIBILITIES = ("public", "private", "protected")


def whoami(call: Call) -> Answer:
    """GET whoami-v2."""
    return json_answer(call.caller().whoami())


def templates(call: Call) -> Answer:
    """GET the templates of Spaces: there are none."""
    return json_answer({"templates": []})


def agent_harnesses(call: Call) -> Answer:
    """GET by which variables the command `hf` knows agents: none."""
    return json_answer({"standardEnvVars": [], "harnesses": {}})


def hardware(call: Call) -> Answer:
    """GET the list of hardware; prices are made up."""
    return json_answer([_hardware(name) for name in HARDWARE])


def create(call: Call) -> Answer:
    """POST a new repository."""
    account = call.caller()
    body = call.request.json()
    call.limits.spend("repo creation", account.name, call.settings.create_quota)
    with call.state.lock:
        repo = _new_repo(account, body)
        _refuse_taken(call, repo)
        if call.settings.one_creation_at_a_time and account.name in call.state.creating:
            raise HubError(409, CONFLICT)
        call.state.creating.add(account.name)
    try:
        call.wait(call.settings.create_seconds)
        with call.state.lock:
            _refuse_taken(call, repo)
            call.state.create(repo)
    finally:
        call.state.creating.discard(account.name)
    return json_answer({"url": _url(call, repo), "name": repo.id, "id": repo.object_id})


def delete(call: Call) -> Answer:
    """DELETE a repository named in the body."""
    account = call.caller()
    body = call.request.json()
    kind: RepoKind = body.get("type") or "model"
    repo = call.write(kind, f"{body.get('organization') or account.name}/{body.get('name')}")
    del call.state.repos[kind, repo.id]
    return text_answer("OK")


def move(call: Call) -> Answer:
    """POST a new name."""
    account = call.caller()
    body = call.request.json()
    kind: RepoKind = body.get("type") or "model"
    new_id = str(body.get("toRepo"))
    repo = call.write(kind, str(body.get("fromRepo")))
    namespace, _, name = new_id.partition("/")
    _check_name(account, kind, namespace, name)
    if call.state.find(kind, new_id):
        raise HubError(409, f"A {kind} repository called {new_id} already exists")
    call.state.move(repo, new_id)
    return text_answer("OK")


def duplicate(call: Call, kind: RepoKind, repo: str) -> Answer:
    """POST a copy: files and variables come along, secrets do not."""
    account = call.caller()
    source = call.read(kind, repo)
    body = call.request.json()
    namespace, _, name = str(body.get("repository")).partition("/")
    target = {"organization": namespace, "name": name}
    copy = _new_repo(account, {"sdk": source.sdk, "type": kind, **body, **target})
    _refuse_taken(call, copy)
    copy.variables = {**source.variables, **copy.variables}
    call.state.create(copy, dict(source.head.tree), f"Duplicate from {source.id}")
    call.state.rebuild(copy)
    return json_answer({"url": _url(call, copy), "filesCopyPending": False})


def settings(call: Call, kind: RepoKind, repo: str) -> Answer:
    """PUT visibility and gating."""
    found = call.write(kind, repo)
    body = call.request.json()
    found.visibility = _visibility(body, kind, found.visibility)
    found.gated = body.get("gated", found.gated)
    return json_answer({"visibility": found.visibility, "gated": found.gated})


def info(call: Call, kind: RepoKind, repo: str, rev: str = "main") -> Answer:
    """GET everything about a repository."""
    found = call.read(kind, repo)
    commit = call.commit(found, rev)
    body = _info(found, commit, blobs=call.request.flag("blobs"))
    wanted = call.request.parameters("expand") + call.request.parameters("expand[]")
    if wanted:
        body = {key: value for key, value in body.items() if key in ("_id", "id", *wanted)}
    return json_answer(body)


def listing(call: Call, kind: RepoKind) -> Answer:
    """GET the visible repositories, newest first."""
    author, search = call.request.parameter("author"), call.request.parameter("search")
    limit = int(call.request.parameter("limit", "1000"))
    seen = [
        repo
        for (repo_kind, _), repo in reversed(call.state.repos.items())
        if repo_kind == kind
        and (not author or repo.namespace == author)
        and search.lower() in repo.id.lower()
        and (repo.visibility == "public" or (call.account and call.account.role_in(repo.namespace)))
    ]
    return json_answer([_info(repo, repo.head) for repo in seen[:limit]])


def auth_check(call: Call, kind: RepoKind, repo: str) -> Answer:
    """GET whether the caller may read."""
    call.read(kind, repo)
    return text_answer("OK")


def auth_check_write(call: Call, kind: RepoKind, repo: str) -> Answer:
    """GET whether the caller may write."""
    call.write(kind, repo)
    return text_answer("OK")


def _new_repo(account: Account, body: Json) -> Repo:
    kind: RepoKind = body.get("type") or "model"
    namespace, name = body.get("organization") or account.name, str(body.get("name", ""))
    _check_name(account, kind, namespace, name)
    repo = Repo(kind, f"{namespace}/{name}", account.name, _visibility(body, kind, "public"))
    if kind == "space":
        _equip(account, repo, body)
    return repo


def _check_name(account: Account, kind: RepoKind, namespace: str, name: str) -> None:
    if not valid_name(name):
        raise HubError(400, f'Invalid repository name: "{name}"')
    if not account.may_create_in(namespace):
        text = f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"'
        raise HubError(403, text)


def _equip(account: Account, repo: Repo, body: Json) -> None:
    repo.sdk = body.get("sdk")
    if repo.sdk not in SDKS:
        raise HubError(400, f'"sdk" must be one of {list(SDKS)}')
    flavor = body.get("hardware") or "cpu-basic"
    check_hardware(account, flavor)
    if repo.sdk != "static":
        if not account.is_pro and flavor == "cpu-basic":
            raise HubError(402, PAY_WALL)
        repo.hardware = flavor
    repo.sleep_time = body.get("sleepTimeSeconds")
    repo.volumes = list(body.get("volumes") or [])
    repo.secrets = _entries(body.get("secrets"))
    repo.variables = _entries(body.get("variables"))


def _entries(given: Any) -> dict[str, Entry]:
    return {item["key"]: Entry(item["value"], item.get("description")) for item in given or []}


def _visibility(body: Json, kind: RepoKind, default: Any) -> Any:
    if "private" in body and "visibility" not in body:
        return "private" if body["private"] else "public"
    visibility = body.get("visibility") or default
    if visibility not in VISIBILITIES or (visibility == "protected" and kind != "space"):
        raise HubError(400, f'"visibility" must be one of {list(VISIBILITIES)}')
    return visibility


def _refuse_taken(call: Call, repo: Repo) -> None:
    if call.state.find(repo.kind, repo.id):
        extra = {"url": _url(call, repo)}
        raise HubError(409, f"You already created this {repo.kind} repo", extra=extra)


def _url(call: Call, repo: Repo) -> str:
    return f"{call.request.base_url}/{repo.url_path}"


def _info(repo: Repo, commit: Commit, *, blobs: bool = False) -> Json:
    body: Json = {
        "_id": repo.object_id,
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "private": repo.visibility == "private",
        "visibility": repo.visibility,
        "gated": repo.gated,
        "disabled": False,
        "tags": [repo.sdk] if repo.sdk else [],
        "likes": 0,
        "cardData": card_of(commit.tree) or {},
        "siblings": [_sibling(path, file, blobs=blobs) for path, file in sorted(commit.tree.items())],
        "createdAt": timestamp(repo.created),
        "lastModified": timestamp(repo.head.date),
    }
    if repo.kind == "space":
        host = domain(repo)
        body |= {"sdk": repo.sdk, "subdomain": host.partition(".")[0], "host": f"https://{host}"}
        body["runtime"] = runtime_body(repo, repo.runtime.peek())
    return body


def _sibling(path: str, file: File, *, blobs: bool) -> Json:
    row: Json = {"rfilename": path}
    if blobs:
        row |= {"size": file.size, "blobId": file.git_oid}
    if blobs and file.large:
        row["lfs"] = {"sha256": file.large.sha256, "size": file.size, "pointerSize": len(file.data)}
    return row


def _hardware(name: str) -> Json:
    cost = 0 if name in FREE_HARDWARE else 10_000
    return {
        "name": name,
        "prettyName": name,
        "cpu": "2 vCPU",
        "ram": "16 GB",
        "unitCostMicroUSD": cost,
        "unitCostUSD": cost / 1_000_000,
        "unitLabel": "minute",
        "id": object_id(name),
    }


ROUTES = [
    Route("GET", "/api/whoami-v2", whoami),
    Route("GET", "/api/agent-harnesses", agent_harnesses),
    Route("GET", "/api/spaces/templates", templates),
    Route("GET", "/api/spaces/hardware", hardware),
    Route("POST", "/api/repos/create", create, locked=False),
    Route("DELETE", "/api/repos/delete", delete),
    Route("POST", "/api/repos/move", move),
    Route("GET", "/api/{kind}", listing),
    Route("GET", "/api/{kind}/{repo}", info),
    Route("GET", "/api/{kind}/{repo}/revision/{rev}", info),
    Route("PUT", "/api/{kind}/{repo}/settings", settings),
    Route("POST", "/api/{kind}/{repo}/duplicate", duplicate),
    Route("GET", "/api/{kind}/{repo}/auth-check", auth_check),
    Route("GET", "/api/{kind}/{repo}/auth-check/write", auth_check_write),
]
