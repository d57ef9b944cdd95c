"""The pages of local Spaces, over a real server for real clients."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from assembler_runner.api.http import i18n
from assembler_runner.core.errors import AssemblerError, Unauthorized
from assembler_runner.plugin import SpaceFile, Tree
from assembler_runner.targets.base import PublishedSpace, SpaceSpec
from assembler_runner.targets.local.target import LocalTarget
from assembler_runner.ui import ui
from assembler_runner.ui.local import local_pages

SCRIPT = "<script>alert(1)</script>"
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}
README = b"---\ntitle: Site\nsdk: static\napp_file: index.html\n---\n\n# My site " + SCRIPT.encode() + b"\n"
SITE: dict[str, bytes] = {
    "README.md": README,
    "index.html": b"<h1>Hello</h1>",
    "style.css": b"h1 { color: red }",
    "params.json": b'{"a": 1}',
    "params.js": b"window.PARAMS = {}",
    "sub/index.html": b"below",
    "app.wasm": b"\0asm",
    "data.tar.gz": b"\x1f\x8b\0",
    "picture.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "b&<i>.txt": SCRIPT.encode(),
    "a 100%#?é.txt": b"odd",
}


def publish(
    target: LocalTarget, name: str, files: dict[str, bytes], sdk: str = "static", visibility: str = "public"
) -> PublishedSpace:
    space = target.find("org", name) or target.create(SpaceSpec("org", name, sdk, visibility))
    tree = Tree({path: SpaceFile(path, content) for path, content in files.items()})
    target.commit(space, tree, frozenset(), f"Publish {SCRIPT}", "", target.head(space).oid)
    return space


def may_read(namespace: str, name: str) -> bool:
    login = request.authorization
    if login is None or login.parameters != {"username": "ann", "password": "secret"}:
        raise Unauthorized
    return name in ("site", "secret", "app", "odd")


def show_error(problem: AssemblerError) -> tuple[dict[str, str | None], int]:
    return problem.to_json(), problem.status


@pytest.fixture
def target(tmp_path: Path) -> LocalTarget:
    return LocalTarget(tmp_path / "spaces")


@pytest.fixture
def app(target: LocalTarget) -> Flask:
    app = Flask(__name__)
    i18n.configure(app)
    app.register_blueprint(ui)
    app.register_blueprint(local_pages(target, may_read))
    app.register_error_handler(AssemblerError, show_error)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def get(client: FlaskClient, path: str, **options: object) -> TestResponse:
    with client.get(path, **options) as response:  # type: ignore[arg-type]
        response.get_data()
        return response


def git(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *map(str, arguments)], check=False, capture_output=True, text=True, env=environ)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_the_page_of_a_space(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "site", SITE)
    page = get(client, "/local/org/site")
    assert page.status_code == 200
    assert "git clone http://localhost/local/org/site" in page.text
    assert "app.wasm" in page.text
    assert 'src="/local/org/site/live/"' in page.text
    assert "# My site" in page.text
    assert "title: Site" not in page.text
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"
    policy = set(page.headers["Content-Security-Policy"].split("; "))
    assert {"default-src 'none'", "script-src 'self'", "frame-src 'self'", "form-action 'self'"} <= policy
    assert {"base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} <= policy
    assert get(client, "/assets/ui/style.css").status_code == 200


def test_pages_fit_their_own_policy(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "site", SITE)
    for path in ("/local/org/site", "/local/org/site/blob/main/README.md"):
        text = get(client, path).text
        assert "<script" not in text
        assert "style=" not in text
        assert "https://" not in text


def test_an_empty_space_has_a_page(target: LocalTarget, client: FlaskClient) -> None:
    target.create(SpaceSpec("org", "empty", "static"))
    page = get(client, "/local/org/empty")
    assert page.status_code == 200
    assert "no files yet" in page.text
    assert "iframe" not in page.text
    assert get(client, "/local/org/empty/live/").status_code == 404


def test_older_commits_stay_visible(target: LocalTarget, client: FlaskClient) -> None:
    space = publish(target, "app", {"app.py": b"old"}, sdk="gradio")
    old = target.commits(space)[0]
    publish(target, "app", {"app.py": b"new", "more.py": b""}, sdk="gradio")
    new = target.commits(space)[0]
    assert "more.py" in get(client, new.url).text
    assert "older commit" not in get(client, new.url).text
    page = get(client, old.url)
    assert "more.py" not in page.text
    assert "older commit" in page.text
    assert get(client, f"/local/org/app/raw/{old.oid}/app.py").data == b"old"
    assert get(client, "/local/org/app/raw/main/app.py").data == b"new"
    assert "old" in get(client, f"/local/org/app/blob/{old.oid}/app.py").text


@pytest.mark.parametrize("path", ["b&<i>.txt", "a 100%#?é.txt", "README.md"])
def test_names_and_contents_are_escaped(target: LocalTarget, client: FlaskClient, path: str) -> None:
    publish(target, "site", {**SITE, f"{SCRIPT.replace('/', '')}.txt": b""})
    page = get(client, "/local/org/site").text
    for text in (page, get(client, f"/local/org/site/blob/main/{quote(path)}").text):
        assert "<script" not in text
        assert "<i>" not in text
    assert "&lt;script&gt;" in page
    raw = get(client, f"/local/org/site/raw/main/{quote(path)}")
    assert raw.data == SITE[path]
    assert raw.content_type == "text/plain; charset=utf-8"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"
    assert raw.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_binary_files_are_only_downloaded(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "site", SITE)
    assert "binary" in get(client, "/local/org/site/blob/main/app.wasm").text
    raw = get(client, "/local/org/site/raw/main/app.wasm")
    assert raw.content_type == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("", "text/html; charset=utf-8"),
        ("index.html", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("params.json", "application/json; charset=utf-8"),
        ("params.js", "text/javascript; charset=utf-8"),
        ("sub/", "text/html; charset=utf-8"),
        ("app.wasm", "application/wasm"),
        ("data.tar.gz", "application/octet-stream"),
        ("picture.svg", "image/svg+xml; charset=utf-8"),
    ],
)
def test_static_spaces_are_served_live(target: LocalTarget, client: FlaskClient, path: str, content_type: str) -> None:
    space = publish(target, "site", SITE)
    served = path if path and not path.endswith("/") else f"{path}index.html"
    answer = get(client, f"/local/org/site/live/{path}")
    assert answer.data == SITE[served]
    assert answer.content_type == content_type
    policy = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
    assert answer.headers["Content-Security-Policy"] == policy
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "X-Frame-Options" not in answer.headers
    blob_id = next(file.blob_id for file in target.files("org", space.name, None) if file.path == served)
    assert answer.headers["ETag"] == f'"{blob_id}"'
    again = get(client, f"/local/org/site/live/{path}", headers={"If-None-Match": f'"{blob_id}"'})
    assert (again.status_code, again.data) == (304, b"")


def test_live_urls_redirect_to_the_folder_of_the_page(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "site", {**SITE, "README.md": b"---\napp_file: sub/index.html\n---\n"})
    assert get(client, "/local/org/site/live/").location == "/local/org/site/live/sub/index.html"
    assert get(client, "/local/org/site/live/sub").location == "/local/org/site/live/sub/"
    assert get(client, "/local/org/site/live/none").status_code == 404
    assert get(client, "/local/org/site/live/..%2f..%2fassembler.json").status_code == 404


@pytest.mark.parametrize("app_file", ["3", "[a]", "none.html", "../index.html", "//other.example/", "''"])
def test_a_hostile_app_file_serves_no_other_file(target: LocalTarget, client: FlaskClient, app_file: str) -> None:
    publish(target, "site", {**SITE, "README.md": f"---\napp_file: {app_file}\n---\n".encode()})
    answer = get(client, "/local/org/site/live/")
    assert answer.status_code in (200, 302, 404)
    assert (answer.location or "/local/org/site/live/").startswith("/local/org/site/live/")
    assert get(client, "/local/org/site/live/", follow_redirects=True).status_code in (200, 404)


def test_only_static_spaces_are_served_live(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "app", {"index.html": b"x"}, sdk="docker")
    assert get(client, "/local/org/app/live/").status_code == 404
    assert "iframe" not in get(client, "/local/org/app").text


PLACES = [
    "",
    "/tree/main",
    "/blob/main/index.html",
    "/raw/main/index.html",
    "/live/",
    "/live/index.html",
    "/info/refs?service=git-upload-pack",
    ".git/info/refs?service=git-upload-pack",
]


@pytest.mark.parametrize("place", PLACES)
def test_private_spaces_require_authentication(target: LocalTarget, client: FlaskClient, place: str) -> None:
    publish(target, "secret", SITE, visibility="private")
    refused = get(client, f"/local/org/secret{place}")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="Assembler"'
    assert b"index.html" not in refused.data
    answer = get(client, f"/local/org/secret{place}", headers=LOGIN)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/local/org/none",
        "/local/..%2f/x",
        "/local/%2e%2e/org",
        "/local/org/a%00b",
        "/local/.locks/00",
        "/local/org/site/tree/0000000000000000000000000000000000000000",
        "/local/org/site/tree/..",
        "/local/org/site/blob/main/none",
        "/local/org/site/blob/main/assembler.json",
        "/local/org/site/raw/main/..%2f..%2fetc/passwd",
        "/local/org/none/info/refs?service=git-upload-pack",
    ],
)
def test_missing_pages_are_not_found(target: LocalTarget, client: FlaskClient, path: str) -> None:
    publish(target, "site", SITE)
    assert get(client, path, follow_redirects=True, headers=LOGIN).status_code == 404


def test_a_missing_space_is_not_distinguishable_from_a_private_one(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "secret", SITE, visibility="private")
    publish(target, "foreign", SITE, visibility="private")
    for headers, first, second in (({}, "secret", "none"), (LOGIN, "foreign", "none")):
        answers = [get(client, f"/local/org/{name}", headers=headers) for name in (first, second)]
        assert [answer.status_code for answer in answers] == ([404, 404] if headers else [401, 401])
        assert answers[0].data == answers[1].data


@pytest.mark.parametrize("ending", ["", ".git", "/"])
def test_git_clones_the_whole_tree(target: LocalTarget, address: str, ending: str, tmp_path: Path) -> None:
    big = {"big.bin": os.urandom(2_000_000), "deep/er/file": b"\r\n\0"}
    space = publish(target, "site", {**SITE, **big})
    done = git("clone", f"http://{address}/local/org/site{ending}", tmp_path / "clone")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "clone") == {**SITE, **big}
    assert git("-C", tmp_path / "clone", "fsck", "--strict").returncode == 0
    assert git("-C", tmp_path / "clone", "rev-parse", "main").stdout.strip() == target.head(space).oid
    publish(target, "site", {"index.html": b"changed"})
    pulled = git("-C", tmp_path / "clone", "pull", "--ff-only")
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "clone/index.html").read_bytes() == b"changed"


def test_git_clones_only_the_newest_commit(target: LocalTarget, address: str, tmp_path: Path) -> None:
    publish(target, "site", SITE)
    publish(target, "site", {"index.html": b"changed"})
    done = git("clone", "--depth=1", f"http://{address}/local/org/site", tmp_path / "clone")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "clone") == {**SITE, "index.html": b"changed"}
    assert git("-C", tmp_path / "clone", "rev-list", "--count", "HEAD").stdout.strip() == "1"


def test_git_fetches_after_many_commits(target: LocalTarget, address: str, tmp_path: Path) -> None:
    for number in range(40):
        publish(target, "site", {"count": str(number).encode()})
    url = f"http://{address}/local/org/site"
    assert git("clone", url, tmp_path / "clone").returncode == 0
    for number in range(40, 45):
        publish(target, "site", {"count": str(number).encode()})
    pulled = git("-C", tmp_path / "clone", "pull", "--ff-only")
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "clone/count").read_bytes() == b"44"


def test_git_clones_an_empty_space(target: LocalTarget, address: str, tmp_path: Path) -> None:
    target.create(SpaceSpec("org", "empty", "static"))
    done = git("clone", f"http://{address}/local/org/empty", tmp_path / "clone")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "clone") == {}


def test_git_clones_a_private_space_with_a_password_only(target: LocalTarget, address: str, tmp_path: Path) -> None:
    publish(target, "secret", SITE, visibility="private")
    assert git("clone", f"http://{address}/local/org/secret", tmp_path / "no").returncode != 0
    done = git("clone", f"http://ann:secret@{address}/local/org/secret", tmp_path / "clone")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "clone") == SITE


def test_nothing_can_be_pushed(target: LocalTarget, address: str, client: FlaskClient, tmp_path: Path) -> None:
    space = publish(target, "site", SITE)
    before = target.commits(space)
    assert git("clone", f"http://{address}/local/org/site", tmp_path / "clone").returncode == 0
    author = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    git("-C", tmp_path / "clone", *author, "commit", "--allow-empty", "-m", "mine")
    pushed = git("-C", tmp_path / "clone", "push")
    assert pushed.returncode != 0
    assert "403" in pushed.stderr
    assert target.commits(space) == before
    assert get(client, "/local/org/site/info/refs?service=git-receive-pack").status_code == 403
    assert get(client, "/local/org/site/info/refs").status_code == 403
    assert client.post("/local/org/site/git-receive-pack").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"0000",
        b"zzzz",
        b"ffff",
        b"0032want " + b"0" * 40 + b"\n00000009done\n",
        b"0032want " + b"x" * 40 + b"\n00000009done\n",
        b"000bwant \xff\n0000",
        b"0011command=ls-refs\n0000",
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_malformed_git_request_is_the_callers_fault(
    target: LocalTarget, app: Flask, client: FlaskClient, body: bytes, is_packed: bool
) -> None:
    publish(target, "site", SITE)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    headers = {"Content-Type": "application/x-git-upload-pack-request"}
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    answer = client.post(
        "/local/org/site/git-upload-pack", data=gzip.compress(body) if is_packed else body, headers=headers
    )
    assert answer.status_code in (200, 400)


def test_a_packed_git_request_cannot_fill_the_memory(target: LocalTarget, client: FlaskClient) -> None:
    publish(target, "site", SITE)
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b"0" * 50_000_000)
    assert client.post("/local/org/site/git-upload-pack", data=bomb, headers=headers).status_code == 413
    assert client.post("/local/org/site/git-upload-pack", data=b"no gzip", headers=headers).status_code == 400


def test_errors_of_the_pages_are_http_errors(app: Flask, target: LocalTarget) -> None:
    publish(target, "secret", SITE, visibility="private")
    with app.test_request_context("/local/org/secret"), pytest.raises(HTTPException) as refused:
        app.dispatch_request()
    assert refused.value.code == 401
