"""Files and history: preupload, commit, trees, downloads."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable

from assembler_runner.devhub import cards, commits
from assembler_runner.devhub.repo import Commit, File, Repo, RepoKind, Tree, timestamp
from assembler_runner.devhub.routing import Call, Route, cursor_of, next_page
from assembler_runner.devhub.wire import Answer, HubError, Json, entry_not_found, json_answer

MAX_FILES_PER_PREUPLOAD = 256
ROOT_FOLDER_OID = "0" * 40


def validate_yaml(call: Call) -> Answer:
    """POST a README, to hear whether its front matter is right."""
    body = call.request.json()
    content = str(body.get("content", ""))
    found = cards.problems(content, is_space=body.get("repoType") == "space")
    if found:
        return json_answer({"errors": [{"message": text} for text in found], "warnings": []}, 400)
    warnings = [] if cards.front_matter(content) else [{"message": cards.EMPTY_CARD}]
    return json_answer({"errors": [], "warnings": warnings})


def preupload(call: Call, kind: RepoKind, repo: str, rev: str) -> Answer:
    """POST the names and first bytes of files, to hear how each goes up."""
    found = call.write(kind, repo)
    commit = call.commit(found, rev)
    files = call.request.json().get("files", [])
    if len(files) > MAX_FILES_PER_PREUPLOAD:
        raise HubError(400, f'"files" must contain at most {MAX_FILES_PER_PREUPLOAD} items')
    return json_answer({"files": [_mode(file, commit.tree) for file in files], "commitOid": commit.oid})


def commit(call: Call, kind: RepoKind, repo: str, rev: str) -> Answer:
    """POST a commit."""
    found = call.write(kind, repo)
    if call.request.flag("create_pr"):
        raise HubError(400, "This stand-in has no pull requests")
    if call.commit(found, rev) is not found.head:
        raise HubError(400, "Commits go to the head of main")
    call.limits.spend("commit", call.caller().name, call.settings.commit_quota)
    asked = commits.parse(call.request.body)
    if asked.parent and found.find_commit(asked.parent) is not found.head:
        raise HubError(412, commits.STALE_PARENT)
    tree = commits.apply(asked, found.head.tree, call.state.large_files, is_space=kind == "space")
    made = found.add_commit(asked.title, asked.message, call.caller().name, tree)
    _rebuild(call, found)
    url = f"{call.request.base_url}/{found.url_path}/commit/{made.oid}"
    return json_answer({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def history(call: Call, kind: RepoKind, repo: str, rev: str) -> Answer:
    """GET the commits, newest first."""
    found = call.read(kind, repo)
    upto = found.commits.index(call.commit(found, rev))
    rows = [_commit_row(item) for item in reversed(found.commits[: upto + 1])]
    return _page(call, rows, call.settings.commits_page)


def refs(call: Call, kind: RepoKind, repo: str) -> Answer:
    """GET the references: there is main and nothing else."""
    found = call.read(kind, repo)
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": found.head.oid}
    return json_answer({"branches": [main], "converts": [], "tags": [], "pullRequests": []})


def tree(call: Call, kind: RepoKind, repo: str, rev: str, path: str = "") -> Answer:
    """GET the files and folders of a folder."""
    found = call.read(kind, repo)
    rows = _rows(call.commit(found, rev).tree)
    inside = path.strip("/") + "/" if path else ""
    if path and path.strip("/") not in rows:
        raise entry_not_found(f'{path} does not exist on "{rev}"')
    recursive = call.request.flag("recursive")
    wanted = [
        row
        for name, row in sorted(rows.items())
        if name.startswith(inside) and (recursive or "/" not in name.removeprefix(inside))
    ]
    return _page(call, wanted, call.settings.tree_page)


def paths_info(call: Call, kind: RepoKind, repo: str, rev: str) -> Answer:
    """POST paths, to hear about those that exist."""
    found = call.read(kind, repo)
    rows = _rows(call.commit(found, rev).tree)
    is_json = "json" in (call.request.headers.get("content-type") or "")
    paths = (call.request.json() if is_json else call.request.form()).get("paths", [])
    return json_answer([rows[path.strip("/")] for path in paths if path.strip("/") in rows])


def resolve(call: Call, repo: str, rev: str, path: str, kind: RepoKind = "model") -> Answer:
    """GET or HEAD a file; large ones are somewhere else."""
    found = call.read(kind, repo)
    at = call.commit(found, rev)
    file = at.tree.get(path)
    if file is None:
        raise entry_not_found()
    headers = {
        "X-Repo-Commit": at.oid,
        "ETag": f'"{file.git_oid}"',
        "Content-Type": "application/octet-stream",
    }
    if file.large is None:
        return Answer(200, file.data, headers)
    location = f"{_other_origin(call)}/_large/{file.large.sha256}"
    linked = {"X-Linked-Etag": f'"{file.large.sha256}"', "X-Linked-Size": str(file.large.size)}
    return Answer(302, b"", {**headers, **linked, "Location": location})


def _rebuild(call: Call, repo: Repo) -> None:
    card = cards.card_of(repo.head.tree)
    if repo.kind == "space" and card and "sdk" in card:
        repo.sdk = card["sdk"]
    repo.log("build", f"===== Building commit {repo.head.oid[:7]} =====", *call.settings.build_log)
    repo.log("run", *call.settings.run_log)
    call.state.rebuild(repo)


def _mode(file: Json, present: Tree) -> Json:
    sample = base64.b64decode(file.get("sample", ""))
    large = _is_binary(sample) or file["size"] > commits.MAX_REGULAR_SIZE
    row: Json = {
        "path": file["path"],
        "uploadMode": "lfs" if large else "regular",
        "shouldIgnore": False,
    }
    old = present.get(file["path"])
    return row | ({"oid": old.content_oid} if old else {})


def _is_binary(sample: bytes) -> bool:
    try:
        # The sample may end inside of a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return True
    return b"\0" in sample


def _rows(files: Tree) -> dict[str, Json]:
    rows = {path: _file_row(path, file) for path, file in files.items()}
    for path in files:
        for folder in _folders(path):
            rows[folder] = {"type": "directory", "oid": ROOT_FOLDER_OID, "size": 0, "path": folder}
    return rows


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _file_row(path: str, file: File) -> Json:
    row: Json = {"type": "file", "oid": file.git_oid, "size": file.size, "path": path}
    if file.large:
        row["lfs"] = {"oid": file.large.sha256, "size": file.large.size, "pointerSize": len(file.data)}
    return row


def _commit_row(item: Commit) -> Json:
    return {
        "id": item.oid,
        "title": item.title,
        "message": item.message,
        "authors": [{"user": item.author}],
        "date": timestamp(item.date),
    }


def _page(call: Call, rows: list[Json], size: int) -> Answer:
    start = cursor_of(call.request)
    more = next_page(call.request, start + size) if start + size < len(rows) else {}
    return json_answer(rows[start : start + size], headers=more)


def _other_origin(call: Call) -> str:
    return call.request.base_url.replace("//127.0.0.1:", "//localhost:")


ROUTES = [
    Route("POST", "/api/validate-yaml", validate_yaml),
    Route("POST", "/api/{kind}/{repo}/preupload/{rev}", preupload),
    Route("POST", "/api/{kind}/{repo}/commit/{rev}", commit),
    Route("GET", "/api/{kind}/{repo}/commits/{rev}", history),
    Route("GET", "/api/{kind}/{repo}/refs", refs),
    Route("GET", "/api/{kind}/{repo}/tree/{rev}", tree),
    Route("GET", "/api/{kind}/{repo}/tree/{rev}/{path}", tree),
    Route("POST", "/api/{kind}/{repo}/paths-info/{rev}", paths_info),
    Route("GET", "/{kind}/{repo}/resolve/{rev}/{path}", resolve),
    Route("GET", "/{repo}/resolve/{rev}/{path}", resolve),
]
