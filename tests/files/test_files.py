"""Files from buckets, forms, archives and base64: stored, rejected, published."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from typing import Any

import httpx
import pytest
import zstandard

from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import load
from assembler_runner.devhub import StandInHub
from assembler_runner.ops.retention import collect
from tests.conftest import SECRETS, MakeService, Service
from tests.files.test_archives import REFUSED, tar_of, zip_of
from tests.files.test_store import AT_ONCE
from tests.support.people import Person, made, make_realm, make_user

BINARY = bytes(range(256)) * 9000
PAGE = b"<h1>Hello</h1>"


def send(service: Service, path: str, **parts: Any) -> Any:
    """Sends a form; a part is text, (bytes, file name), or a list of these."""
    fields: list[tuple[str, Any]] = []
    for name, part in parts.items():
        for each in part if isinstance(part, list) else [part]:
            fields.append((name, (None, each) if isinstance(each, str) else (each[1], each[0])))
    # The test client would leave large bodies in open files.
    form = httpx.Request("POST", "http://x", files=fields)
    headers = service.headers | {"Content-Type": form.headers["Content-Type"]}
    return service.client.post(path, data=form.read(), headers=headers)


def bucket_with(service: Service, *files: tuple[bytes, str], name: str = "mine") -> list[dict[str, Any]]:
    bucket = made(service.post("/storage/buckets", {"name": name}))
    answer = send(service, f"/storage/buckets/{bucket['id']}/upload", **{str(n): file for n, file in enumerate(files)})
    return list(made(answer)["data"])


def tree_of(answer: Any) -> dict[str, str]:
    assert answer.status_code in (200, 202), answer.json
    files = answer.json["files"] if "files" in answer.json else answer.json["latest_request"]["files"]
    return {file["path"]: file["sha256"] for file in files if file["origin"] == "given"}


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def codes(answer: Any) -> set[str]:
    return {issue["code"] for issue in answer.json["issues"]} or {answer.json["code"]}


def test_a_bucket_is_filled_read_and_emptied(service: Service) -> None:
    first, second, third = bucket_with(service, (BINARY, "größe ✓.bin"), (b"1", "a/n.txt"), (b"2", "a/n.txt"))
    assert first == {**first, "name": "größe ✓.bin", "directory": ".", "size": len(BINARY), "actor_type": "user"}
    assert (second["name"], second["directory"], second["path"]) == ("n.txt", "a", "a/n.txt")
    streamed = service.get(f"/storage/bucket-files/{first['id']}/stream")
    assert streamed.data == BINARY and streamed.headers["Content-Length"] == str(len(BINARY))
    assert "filename*=UTF-8''gr%C3%B6%C3%9Fe%20%E2%9C%93.bin" in streamed.headers["Content-Disposition"]
    assert [service.get(f"/storage/bucket-files/{file['id']}/stream").data for file in (second, third)] == [b"1", b"2"]
    packed = service.get(f"/storage/buckets/{first['bucket_id']}/stream")
    with tarfile.open(fileobj=io.BytesIO(packed.data)) as archive:
        entries = [(entry.name, archive.extractfile(entry).read()) for entry in archive]  # type: ignore[union-attr]
    assert entries[0] == ("größe ✓.bin", BINARY) and sorted(entries[1:]) == [("a/n.txt", b"1"), ("a/n.txt", b"2")]
    assert service.get("/storage/bucket-files?filter[path]=a/n.txt&include=bucket").json["data"][0]["bucket"]
    assert made(service.client.delete(f"/storage/bucket-files/{second['id']}", headers=service.headers), 202)
    where = f"/storage/buckets/{first['bucket_id']}"
    assert made(service.post(where, {"name": "ours"}), 202)["name"] == "ours"
    made(service.client.delete(where, headers=service.headers), 202)
    assert service.get(where).status_code == service.get(f"/storage/bucket-files/{first['id']}").status_code == 404
    with service.app.app_context():
        assert collect(service.services, AT_ONCE) == 3
    actions = [(row["action"], row["object_type"]) for row in service.get("/auth/audit-log").json["data"]]
    assert actions.count(("create", "bucket file")) == 3 and ("delete", "bucket") in actions


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ({}, 400, "invalid_form"),
        ({"note": "text"}, 422, "no_files"),
        ({"a": (b"x", "../../etc/passwd")}, 422, "path_traversal"),
        ({"a": (b"x", "/etc/passwd")}, 422, "absolute_path"),
        ({"a": (b"x", "n" * 300)}, 422, "path_too_long"),
        ({"a": (b"x" * 2000, "a")}, 413, "too_large"),
        ({"a": (b"ok", "ok"), "b": (b"x" * 2000, "b")}, 413, "too_large"),
        ({"note": "x" * 5000}, 413, "too_large"),
        ({str(number): (b"x", "f") for number in range(50)}, 413, "too_large"),
    ],
)
def test_bad_uploads_leave_nothing(make_service: MakeService, parts: dict[str, Any], status: int, code: str) -> None:
    service = make_service(MAX_FILE_BYTES=1000, MAX_JSON_BYTES=4000, MAX_FILES=10)
    bucket = made(service.post("/storage/buckets", {"name": "mine"}))
    if not parts:
        answer = service.post(f"/storage/buckets/{bucket['id']}/upload", {})
    else:
        answer = send(service, f"/storage/buckets/{bucket['id']}/upload", **parts)
    assert answer.status_code == status and code in codes(answer), answer.json
    assert service.get("/storage/bucket-files").json["data"] == []
    assert list((service.services.instance / "incoming").glob("*")) == []


def test_an_interrupted_upload_leaves_nothing(service: Service) -> None:
    bucket = made(service.post("/storage/buckets", {"name": "mine"}))
    body = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n' + BINARY
    answer = service.client.post(
        f"/storage/buckets/{bucket['id']}/upload",
        data=body,
        headers=service.headers,
        content_type="multipart/form-data; boundary=b",
    )
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_form")
    assert service.get("/storage/bucket-files").json["data"] == []
    with service.app.app_context():
        assert collect(service.services, AT_ONCE) == 0


def test_buckets_of_another_realm_do_not_exist(service: Service) -> None:
    (file,) = bucket_with(service, (b"secret", "a"))
    stranger = make_user(service, "ann", make_realm(service, "theirs"))
    assert stranger.get(f"/storage/bucket-files/{file['id']}/stream").status_code == 404
    body = {"space_type": "static", "files": {"index.html": {"bucket_file_id": file["id"]}}}
    answer = stranger.post("/spaces/preview", body)
    assert (answer.status_code, codes(answer)) == (422, {"unknown_bucket_file"})
    assert answer.json["issues"][0]["path"] == 'files["index.html"].bucket_file_id'
    # Without the permission to read buckets, the own ones do not exist either.
    role = made(service.post("/auth/roles", {"name": "maker"}))
    permission = service.get("/auth/permissions?filter[name]=space_create").json["data"][0]
    made(service.post("/auth/role-permissions", {"role_id": role["id"], "permission_id": permission["id"]}))
    maker = make_user(service, "bob", None, None)
    made(service.post("/auth/user-roles", {"user_id": maker.id, "role_id": role["id"]}))
    assert codes(maker.post("/spaces/preview", body)) == {"unknown_bucket_file"}
    assert Person(service, "", service.login()).post("/spaces/preview", body).status_code == 200


def test_bytes_in_buckets_count(make_service: MakeService) -> None:
    service = make_service(REALM_MAX_BYTES=3000)
    bucket_with(service, (b"x" * 2000, "a"))
    bucket = service.get("/storage/buckets").json["data"][0]
    answer = send(service, f"/storage/buckets/{bucket['id']}/upload", a=(b"y" * 1500, "b"))
    assert (answer.status_code, answer.json["code"]) == (429, "quota_exceeded")
    assert service.post("/spaces", {"space_type": "static", "files": {"index.html": "x" * 1500}}).status_code == 429
    # A rejected upload is not stored.
    answer = send(service, f"/storage/buckets/{bucket['id']}/upload", a=(BINARY, "b"))
    assert answer.status_code == 429
    assert as_form(service, "/spaces", {"index.html": PAGE, "big": BINARY}).status_code == 429
    with service.app.app_context():
        assert collect(service.services, AT_ONCE) == 0


FILES = {"index.html": PAGE, "assets/größe ✓.bin": BINARY}


def as_form(service: Service, path: str, given: dict[str, bytes], **body: Any) -> Any:
    parts = [(content, name) for name, content in given.items()]
    return send(service, path, body=json.dumps({"space_type": "static", **body}), files=parts)


def test_every_upload_method_gives_the_same_tree(service: Service) -> None:
    static = {"space_type": "static"}
    small, large, packed = bucket_with(
        service,
        (PAGE, "x"),
        (BINARY, "y"),
        (zstandard.compress(tar_of({f"top/{n}": c for n, c in FILES.items()})), "z"),
    )
    encoded = {name: {"content": base64.b64encode(c).decode(), "encoding": "base64"} for name, c in FILES.items()}
    by_id = {"index.html": {"bucket_file_id": small["id"]}, "assets/größe ✓.bin": {"bucket_file_id": large["id"]}}
    mixed = as_form(
        service, "/spaces/preview", {"index.html": PAGE}, files={"assets/größe ✓.bin": encoded["assets/größe ✓.bin"]}
    )
    ways = {
        "base64": service.post("/spaces/preview", static | {"files": encoded}),
        "buckets": service.post("/spaces/preview", static | {"files": by_id}),
        "archive in a bucket": service.post("/spaces/preview", static | {"archive": {"bucket_file_id": packed["id"]}}),
        "form": as_form(service, "/spaces/preview", FILES),
        "fields": send(service, "/spaces/preview", space_type="static", files=[(c, n) for n, c in FILES.items()]),
        "archive": send(service, "/spaces/preview", body='{"space_type": "static"}', archive=(zip_of(FILES), "a.zip")),
        "both": mixed,
    }
    trees = {way: tree_of(answer) for way, answer in ways.items()}
    assert trees == dict.fromkeys(ways, digests(FILES))
    assert len({answer.json["tree_digest"] for answer in ways.values()}) == 1


def test_files_beside_an_archive_replace_single_ones_and_keep_its_folders(service: Service) -> None:
    archive = (tar_of({"assets/a": b"1", "assets/b": b"2"}), "a.tar")
    answer = send(
        service,
        "/spaces/preview",
        body='{"space_type": "static", "files": {"index.html": "x", "assets/b": "3"}}',
        archive=archive,
    )
    assert tree_of(answer) == digests({"assets/a": b"1", "assets/b": b"3", "index.html": b"x"})
    alone = send(service, "/spaces/preview", space_type="static", archive=(tar_of({"my/index.html": b"x"}), "a.tar"))
    assert tree_of(alone) == digests({"index.html": b"x"})


@pytest.mark.parametrize("name", ["gzip bomb", "symbolic link in tar", "traversal in zip", "encrypted", "no archive"])
def test_hostile_archives_are_reported(make_service: MakeService, name: str) -> None:
    service = make_service(MAX_ARCHIVE_BYTES=30 * 2**20)
    make, status, code = REFUSED[name]
    for path in ("/spaces", "/spaces/preview", "/create-space"):
        answer = send(service, path, space_type="static", archive=(make(), "a"))
        assert answer.status_code == status and code in codes(answer), answer.json
        assert status == 413 or answer.json["issues"][0]["path"].startswith(("archive", "files"))
    assert service.get("/spaces").json["data"] == []


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"body": '{"files": {"index.html": "a"}}', "files": [(b"b", "index.html")]}, "duplicate_part"),
        ({"body": "{", "files": [(b"b", "index.html")]}, "invalid_json"),
        ({"body": "[]", "files": [(b"b", "index.html")]}, "invalid_form"),
        ({"space_type": "static", "body": '{"space_type": "static"}'}, "duplicate_part"),
        ({"archive": "text", "files": [(b"b", "index.html")]}, "invalid_json"),
        ({"space_type": "static"}, "invalid_field"),
        ({"space_type": "static", "files": [(b"b", "../index.html")]}, "path_traversal"),
        ({"space_type": "static", "files": [(b"b", "d/" * 40 + "x")]}, "path_too_deep"),
        ({"body": '{"space_type": "static", "archive": {"bucket_file_id": "x"}}'}, "unknown_bucket_file"),
        ({"body": '{"space_type": "static", "archive": "x"}'}, "invalid_field"),
    ],
)
def test_bad_forms_are_reported(service: Service, parts: dict[str, Any], code: str) -> None:
    answer = send(service, "/spaces", **parts)
    assert answer.status_code in (400, 422) and code in codes(answer), answer.json


def test_a_form_can_be_repeated_with_a_key(service: Service) -> None:
    def submit(content: bytes) -> Any:
        data = {"body": '{"space_type": "static"}', "files": (io.BytesIO(content), "index.html")}
        headers = service.headers | {"Idempotency-Key": "once"}
        return service.client.post("/spaces", data=data, headers=headers)

    first = submit(PAGE)
    assert first.status_code == 202 and submit(PAGE).json["id"] == first.json["id"]
    assert submit(b"other").json["code"] == "idempotency_key_reused"


def test_a_large_file_of_json_is_repeated_with_a_key(service: Service) -> None:
    body = {
        "space_type": "static",
        "files": {"index.html": "x", "b": {"content": base64.b64encode(BINARY).decode(), "encoding": "base64"}},
    }
    headers = {"Idempotency-Key": "once"}
    first = service.post("/spaces", body, headers=headers)
    assert first.status_code == 202 and service.post("/spaces", body, headers=headers).json["id"] == first.json["id"]


def test_invalid_base64_of_a_large_file_is_reported(service: Service) -> None:
    good = base64.b64encode(BINARY).decode()
    for bad in (good[:-1] + "!", good[:5000] + "=" + good[5001:], good + "A"):
        body = {"space_type": "static", "files": {"index.html": "x", "b": {"content": bad, "encoding": "base64"}}}
        assert codes(service.post("/spaces/preview", body)) == {"invalid_base64"}


def test_limits_are_named(make_service: MakeService) -> None:
    service = make_service(MAX_JSON_BYTES=10_000, MAX_REQUEST_BYTES=30_000, MAX_SPACE_BYTES=5000, MAX_PATH_BYTES=20)
    for size, said in ((20_000, "10000"), (40_000, "10000")):
        answer = service.post("/spaces", {"files": {"app.py": "#" * size}})
        assert (answer.status_code, answer.json["code"]) == (413, "too_large") and said in answer.json["message"]
    answer = send(service, "/spaces", space_type="static", files=[(b"x" * 40_000, "index.html")])
    assert answer.status_code == 413 and "30000" in answer.json["message"]
    answer = send(service, "/spaces", space_type="static", files=[(b"x" * 3000, "index.html"), (b"y" * 3000, "n" * 25)])
    assert codes(answer) == {"files_too_large", "path_too_long"}
    with pytest.raises(SettingsError, match="at most 1000"):
        load({"MAX_PATH_BYTES": "1001"}, **SECRETS)


def test_source_files_too_large_to_be_parsed(service: Service) -> None:
    source = b"data = 1\n" + b"#" * (3 * 2**20)
    answer = send(
        service,
        "/spaces/preview",
        body='{"space_type": "gradio", "parameters": {"a": 1}}',
        files=[(b"print(PARAMS)", "app.py"), (source, "data.py")],
    )
    assert tree_of(answer)["data.py"] == hashlib.sha256(source).hexdigest()
    assert {(finding["code"], finding["path"]) for finding in answer.json["findings"]} == {
        ("source_too_large", "data.py")
    }
    answer = send(service, "/spaces", space_type="static", files=[(PAGE, "index.html"), (source, "README.md")])
    assert "readme_too_large" in codes(answer)
    # The plugin reads the whole file.
    answer = send(service, "/spaces/preview", space_type="docker", files=[(source * 2, "Dockerfile")])
    assert (answer.status_code, answer.json["code"]) == (413, "too_large") and "Dockerfile" in answer.json["message"]


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's library speaks to its own so
def test_large_files_reach_the_hub_as_large_ones_once(hub_service: Service, hub: StandInHub) -> None:
    texts = {"index.html": PAGE, "style.css": b"p {}"}
    answer = as_form(hub_service, "/spaces", {**texts, "a.bin": BINARY, "b/größe ✓.bin": BINARY[::-1]}, name="big")
    done = hub_service.work(answer.json["latest_request"]["id"])
    assert done["status"] == "succeeded", done
    tree = hub.tree("alice/big")
    assert (tree["a.bin"], tree["b/größe ✓.bin"], tree["index.html"]) == (BINARY, BINARY[::-1], PAGE)
    head = hub.space("alice/big").head.tree
    assert [path for path, file in head.items() if file.large] == ["a.bin", "b/größe ✓.bin"]
    assert sum(record.method == "PUT" for record in hub.requests) == 2
    # Files that the Hub already has are not sent again.
    again = as_form(hub_service, "/spaces", {**texts, "c.bin": BINARY}, name="more")
    assert hub_service.work(again.json["latest_request"]["id"])["status"] == "succeeded"
    assert hub.tree("alice/more")["c.bin"] == BINARY
    assert sum(record.method == "PUT" for record in hub.requests) == 2
    assert list((hub_service.services.instance / "outgoing").iterdir()) == []


def test_files_the_hub_does_not_accept_are_rejected_before_anything_is_created(
    hub_service: Service, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assembler_runner.targets.hub import files as hub_files

    monkeypatch.setattr(hub_files, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(hub_files, "MAX_TEXT_BYTES", 1500)
    monkeypatch.setattr(hub_files, "MAX_FOLDER_ENTRIES", 4)
    files = {"index.html": PAGE, "large.bin": BINARY, "a.txt": b"a" * 900, "b.txt": b"b" * 900}
    answer = as_form(hub_service, "/spaces", files)
    assert answer.status_code == 422
    assert {"hub_file_too_large", "hub_too_much_text", "hub_folder_too_full"} <= codes(answer)
    assert any("1000" in issue["message"] for issue in answer.json["issues"])
    assert hub.requests == []
    assert as_form(hub_service, "/spaces", files, target="local").status_code == 202


def test_large_files_on_the_local_target(service: Service) -> None:
    files = {"index.html": PAGE, "big.bin": BINARY, "twice.bin": BINARY, "text.txt": b"t" * 2_000_000}
    answer = as_form(service, "/spaces", files, name="big")
    assert service.work(answer.json["latest_request"]["id"])["status"] == "succeeded"
    for path, content in files.items():
        assert service.client.get(f"/local/admin/big/raw/main/{path}").data == content
        assert service.client.get(f"/local/admin/big/live/{path}").data == content
    part = service.client.get("/local/admin/big/live/big.bin", headers={"Range": "bytes=1000000-1000099"})
    assert (part.status_code, part.data) == (206, BINARY[1_000_000:1_000_100])
    tag = service.client.get("/local/admin/big/live/big.bin").headers["ETag"]
    assert service.client.get("/local/admin/big/live/big.bin", headers={"If-None-Match": tag}).status_code == 304
