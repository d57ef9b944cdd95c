"""Pages of local Spaces: files, live static pages, and `git clone`.

The files of a Space are untrusted. They are only shown escaped, downloaded, or run in a sandbox with an opaque origin,
so that they cannot call this service with the visitor's permissions.
"""

from __future__ import annotations

import gzip
import io
import mimetypes
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from flask import Blueprint, Response, redirect, render_template, request, send_file, url_for
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.api.http.accepts import wants_page
from assembler_runner.api.http.middleware import PAGE_POLICY
from assembler_runner.apps.addresses import Addresses
from assembler_runner.apps.routes import PUBLIC
from assembler_runner.assembly.card import README, read_card
from assembler_runner.core import errors
from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.errors import Forbidden, NotFound, TooLarge
from assembler_runner.core.settings import current_settings
from assembler_runner.targets.base import PublishedSpace
from assembler_runner.targets.local.changes import OpenFile, StoredFile
from assembler_runner.targets.local.git_blobs import LARGE_BYTES
from assembler_runner.targets.local.target import LocalTarget

NEWEST = "main"
"""The revision of the newest commit in a URL."""

# As one token: the standard requires a quoted realm, and werkzeug quotes a parameter only if it contains spaces.
_ASK_FOR_PASSWORD = WWWAuthenticate("basic", None, 'realm="Assembler"')
# The page of a static Space embeds it in a frame.
_PAGE_POLICY = f"{PAGE_POLICY}; frame-src 'self'"
_RAW_POLICY = "sandbox; default-src 'none'"
_LIVE_POLICY = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
_UPLOAD_PACK = "git-upload-pack"
_MAX_SHOWN_BYTES = 500_000
_MAX_SHOWN_COMMITS = 10
# A clone request is a list of ids of 50 bytes each.
_MAX_GIT_REQUEST = 4_000_000

_TYPES = mimetypes.MimeTypes()
for _type, _ending in (
    ("text/javascript", ".js"),
    ("text/javascript", ".mjs"),
    ("application/wasm", ".wasm"),
    ("text/markdown", ".md"),
    ("font/woff2", ".woff2"),
    ("image/webp", ".webp"),
):
    _TYPES.add_type(_type, _ending)


@dataclass(frozen=True)
class _Visit:
    """A Space that the caller may read."""

    target: LocalTarget
    space: PublishedSpace
    sdk: str
    visibility: str

    @property
    def names(self) -> dict[str, Any]:
        return {"namespace": self.space.namespace, "name": self.space.name}

    def files(self, revision: str) -> list[StoredFile]:
        return self.target.files(self.space.namespace, self.space.name, _commit_of(revision))

    def read(self, path: str, revision: str) -> bytes | None:
        return self.target.read(self.space.namespace, self.space.name, path, _commit_of(revision))

    def open(self, path: str, revision: str) -> OpenFile | None:
        return self.target.open(self.space.namespace, self.space.name, path, _commit_of(revision))

    def has(self, path: str) -> bool:
        opened = self.open(path, NEWEST)
        if opened is not None:
            opened.content.close()
        return opened is not None

    def file(self, path: str, revision: str) -> OpenFile:
        opened = self.open(path, revision)
        if opened is None:
            raise NotFound("The Space does not contain this file.")
        return opened


def local_pages(target: LocalTarget, may_read: Callable[[str, str], bool]) -> Blueprint:
    """Creates the pages of local Spaces; they require the blueprint `ui`.

    Args:
        target: the local target.
        may_read: returns whether the current caller may see a Space that is not public, given namespace and name;
            raises :class:`assembler_runner.core.errors.Unauthorized` for a caller without authentication, and
            :class:`assembler_runner.core.errors.Gone` for a Space that was public and is deleted.
    Returns:
        A blueprint below `/local`.
    """
    pages = Blueprint("local", __name__, url_prefix="/local")

    def visit(namespace: str, name: str) -> _Visit:
        # git clients use the URL with and without .git.
        name = name.removesuffix(".git")
        space = target.find(namespace, name)
        visibility = target.visibility(space.namespace, space.name) if space else "private"
        # A missing Space is not distinguishable from a private Space of others.
        names = (space.namespace, space.name) if space else (namespace, name)
        if visibility != "public" and not _allowed(may_read, *names):
            space = None
        if space is None:
            raise NotFound("There is no such Space.")
        return _Visit(target, space, target.sdk(space.namespace, space.name), visibility)

    @pages.get("/<namespace>/<name>")
    def space(namespace: str, name: str) -> Response:
        return _space_page(visit(namespace, name), NEWEST)

    @pages.get("/<namespace>/<name>/tree/<revision>")
    def tree(namespace: str, name: str, revision: str) -> Response:
        return _space_page(visit(namespace, name), revision)

    @pages.get("/<namespace>/<name>/blob/<revision>/<path:path>")
    def blob(namespace: str, name: str, revision: str, path: str) -> Response:
        return _file_page(visit(namespace, name), revision, path)

    @pages.get("/<namespace>/<name>/raw/<revision>/<path:path>")
    def raw(namespace: str, name: str, revision: str, path: str) -> Response:
        return _raw_file(visit(namespace, name), revision, path)

    @pages.get("/<namespace>/<name>/live/")
    @pages.get("/<namespace>/<name>/live/<path:path>")
    def live(namespace: str, name: str, path: str = "") -> AnyResponse:
        return _live_file(visit(namespace, name), path)

    @pages.get("/<namespace>/<name>/info/refs")
    def info_refs(namespace: str, name: str) -> AnyResponse:
        if request.args.get("service") != _UPLOAD_PACK:
            raise Forbidden("Spaces can be cloned and fetched here, not pushed to.", hint="Send changes to the API.")
        return _git_answer(visit(namespace, name), "/info/refs")

    @pages.post(f"/<namespace>/<name>/{_UPLOAD_PACK}")
    def upload_pack(namespace: str, name: str) -> AnyResponse:
        return _git_answer(visit(namespace, name), f"/{_UPLOAD_PACK}")

    @pages.post("/<namespace>/<name>/git-receive-pack")
    def receive_pack(namespace: str, name: str) -> AnyResponse:
        raise Forbidden("Spaces can be cloned and fetched here, not pushed to.", hint="Send changes to the API.")

    return pages


def _allowed(may_read: Callable[[str, str], bool], namespace: str, name: str) -> bool:
    try:
        return may_read(namespace, name)
    except errors.Unauthorized:
        if wants_page():
            raise
        raise Unauthorized(www_authenticate=_ASK_FOR_PASSWORD) from None


def _commit_of(revision: str) -> str | None:
    return None if revision == NEWEST else revision


def _space_page(visit: _Visit, revision: str) -> Response:
    files = visit.files(revision)
    commits = visit.target.commits(visit.space)
    return _page(
        "local_space.html",
        visit=visit,
        revision=revision,
        commit=next((commit for commit in commits if revision in (NEWEST, commit.oid)), None),
        is_newest=revision == NEWEST or revision == commits[0].oid,
        files=files,
        total=sum(file.size for file in files),
        commits=commits[:_MAX_SHOWN_COMMITS],
        readme=_readme_text(visit, revision),
        clone_url=absolute_url(url_for("local.space", **visit.names)),
        app_url=_app_url(visit),
    )


def _app_url(visit: _Visit) -> str | None:
    """Returns the address of the app; None if it has none, or if a visitor needs a ticket."""
    row = visit.target.apps.find(visit.space.namespace, visit.space.name) if visit.target.apps else None
    if row is None or row.visibility not in PUBLIC or row.commit_oid is None or row.stage == "STORED":
        return None
    return Addresses(current_settings()).url(row.host)


def _file_page(visit: _Visit, revision: str, path: str) -> Response:
    with (file := visit.file(path, revision)).content as content:
        text = _text(content.read()) if file.size <= _MAX_SHOWN_BYTES else None
    return _page("local_file.html", visit=visit, revision=revision, path=path, size=file.size, text=text)


def _readme_text(visit: _Visit, revision: str) -> str | None:
    opened = visit.open(README, revision)
    if opened is None:
        return ""
    with opened.content as content:
        if opened.size > _MAX_SHOWN_BYTES:
            return None
        whole = content.read()
    end = _card_of(opened.blob_id, lambda: whole).end
    return _text(whole[end:].lstrip().removeprefix(b"---").lstrip() if end is not None else whole)


@dataclass(frozen=True)
class _Card:
    """What pages need of a card: where it ends, or None if there is none, and the page it names."""

    end: int | None
    app_file: str | None


_cards: dict[str, _Card] = {}
_cards_lock = threading.Lock()
_MAX_CARDS = 1000


def _card_of(blob_id: str, read: Callable[[], bytes]) -> _Card:
    """Returns the card of a README; each content is parsed once, however many visitors come."""
    if (known := _cards.get(blob_id)) is not None:
        return known
    card = read_card(read())
    app_file = card.values.get("app_file")
    page = app_file.lstrip("./") if isinstance(app_file, str) else None
    found = _Card(None if card.start is None else card.end, page)
    with _cards_lock:
        while len(_cards) >= _MAX_CARDS:
            del _cards[next(iter(_cards))]
        _cards[blob_id] = found
    return found


def _page(template: str, **values: Any) -> Response:
    response = Response(render_template(template, **values))
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _raw_file(visit: _Visit, revision: str, path: str) -> Response:
    file = visit.file(path, revision)
    is_text = file.size < LARGE_BYTES and _text(file.content.read()) is not None
    file.content.seek(0)
    content_type = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
    return _file_answer(file, path, content_type, _RAW_POLICY, as_attachment=not is_text)


def _live_file(visit: _Visit, path: str) -> AnyResponse:
    if visit.sdk != "static":
        raise NotFound("Only static Spaces are served live.", hint="Clone this Space and run it.")
    if not path:
        path = _app_file(visit)
        if "/" in path:
            # Served from its own folder, so that its relative links work.
            return redirect(url_for("local.live", **visit.names, path=path))
    elif path.endswith("/"):
        path += "index.html"
    elif not visit.has(path) and visit.has(f"{path}/index.html"):
        return redirect(url_for("local.live", **visit.names, path=f"{path}/"))
    response = _file_answer(visit.file(path, NEWEST), path, _live_type(path), _LIVE_POLICY)
    if visit.visibility == "public":
        # A sandboxed page has an opaque origin, so even its own files are cross-origin.
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _app_file(visit: _Visit) -> str:
    opened = visit.open(README, NEWEST)
    if opened is None:
        return "index.html"
    with opened.content as content:
        return _card_of(opened.blob_id, lambda: content.read(_MAX_SHOWN_BYTES)).app_file or "index.html"


def _live_type(path: str) -> str:
    mimetype, encoding = _TYPES.guess_type(PurePosixPath(path).name)
    if mimetype is None or encoding is not None:
        return "application/octet-stream"
    is_text = mimetype.startswith("text/") or mimetype in ("application/json", "image/svg+xml", "application/xml")
    return f"{mimetype}; charset=utf-8" if is_text else mimetype


def _file_answer(file: OpenFile, path: str, content_type: str, policy: str, as_attachment: bool = False) -> Response:
    response = send_file(
        file.content,
        as_attachment=as_attachment,
        download_name=PurePosixPath(path).name,
        etag=file.blob_id,
        conditional=False,
    )
    response.call_on_close(file.content.close)
    response.content_length = file.size
    response.make_conditional(request, accept_ranges=True, complete_length=file.size)
    response.headers["Content-Type"] = content_type
    response.headers["Content-Security-Policy"] = policy
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _git_answer(visit: _Visit, path: str) -> AnyResponse:
    """Answers one step of a clone or fetch."""
    # Imported here, because only clones need the git server.
    from dulwich.errors import GitProtocolError
    from dulwich.server import BackendRepo, DictBackend, UploadPackHandler
    from dulwich.web import HTTPGitApplication

    with visit.target.open_repository(visit.space.namespace, visit.space.name) as repo:
        git = HTTPGitApplication(DictBackend({"/": cast(BackendRepo, repo)}))
        # Handlers passed to the constructor would be added to the default ones, which can write.
        git.handlers = {_UPLOAD_PACK.encode(): UploadPackHandler}
        body = _git_request_body()
        environ = {
            **request.environ,
            "PATH_INFO": path,
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        # The body was read and decompressed above.
        for done in ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING"):
            environ.pop(done, None)
        try:
            return AnyResponse.from_app(git, environ)
        except (GitProtocolError, KeyError, ValueError) as problem:
            raise BadRequest("The request is not a valid request of a git client.") from problem


def _git_request_body() -> bytes:
    is_packed = request.headers.get("Content-Encoding") == "gzip"
    stream = gzip.GzipFile(fileobj=request.stream, mode="rb") if is_packed else request.stream
    try:
        body = stream.read(_MAX_GIT_REQUEST + 1)
    except (EOFError, OSError, zlib.error) as problem:
        raise BadRequest("The body cannot be decompressed.") from problem
    if len(body) > _MAX_GIT_REQUEST:
        raise TooLarge("The request of the git client is too large.")
    return body


def _text(content: bytes) -> str | None:
    """Returns the content as text; None if it is binary."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
