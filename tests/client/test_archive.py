"""Which files of a folder are sent, and how they are encoded."""

from __future__ import annotations

from pathlib import Path

import pytest

import assembler_client
from assembler_client import InvalidRequest
from assembler_client.archive import in_json
from assembler_client.folder import collect


def write(folder: Path, **files: str) -> None:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def test_ignored_files_are_not_sent(tmp_path: Path) -> None:
    names = ["app.py", "a.log", "keep.log", "build/x", "sub/build/y", "sub/a.tmp", "sub/b.txt", ".env", ".git/config"]
    names += ["__pycache__/a.pyc", "sub/__pycache__/b.pyc", "node_modules/x/index.js", "docs/secret/a", "docs/b"]
    write(tmp_path, **dict.fromkeys(names, "x"))
    write(tmp_path, **{".gitignore": "*.log\n/build/\n", "sub/.gitignore": "*.tmp\n"})
    write(tmp_path, **{".assemblerignore": "# ours\n!keep.log\ndocs/secret\n"})
    found = collect(tmp_path)
    wanted = [".gitignore", "app.py", "docs/b", "keep.log", "sub/.gitignore", "sub/b.txt", "sub/build/y"]
    assert list(found) == wanted
    assert found["sub/b.txt"] == tmp_path / "sub" / "b.txt"


def test_dot_env_goes_along_only_if_asked_for(tmp_path: Path) -> None:
    write(tmp_path, **{".env": "KEY=1", "a": "x"})
    assert list(collect(tmp_path)) == ["a"]
    write(tmp_path, **{".assemblerignore": "!.env\n"})
    assert list(collect(tmp_path)) == [".env", "a"]


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    write(folder, **{"a": "x"})
    write(tmp_path, **{"secret": "x"})
    (folder / "inside").symlink_to(folder / "a")
    assert list(collect(folder)) == ["a", "inside"]
    (folder / "outside").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidRequest, match="leads out of the folder"):
        collect(folder)
    write(folder, **{".assemblerignore": "outside\n"})
    (folder / "loop").symlink_to(folder)
    with pytest.raises(InvalidRequest, match="link to a folder"):
        collect(folder)


def test_contents_go_as_text_where_they_are_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("grün".encode())
    assert in_json(tmp_path / "a") == "grün"
    assert in_json(b"\xff\x00") == {"content": "/wA=", "encoding": "base64"}
    assert in_json(b"a\x00b") == {"content": "YQBi", "encoding": "base64"}
    assert in_json("text") == "text"
    assert in_json({"bucket_file_id": "x"}) == {"bucket_file_id": "x"}
    assert in_json(None) is None


def test_public_names() -> None:
    assert dir(assembler_client) == sorted(assembler_client.__all__)
    for name in assembler_client.__all__:
        assert getattr(assembler_client, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = assembler_client.no_such_name
    expected = [
        "AppFailed",
        "Assembler",
        "AsyncAssembler",
        "AsyncAuthClient",
        "AsyncCoreClient",
        "AsyncStorageClient",
        "AuthClient",
        "AuthError",
        "ClientAuth",
        "Conflict",
        "CoreClient",
        "ExchangeAuth",
        "FilterOperator",
        "Forbidden",
        "HubAPIError",
        "InvalidAnswer",
        "InvalidRequest",
        "NotFound",
        "PasswordAuth",
        "RateLimited",
        "RequestFailed",
        "RobotAuth",
        "ServerError",
        "StaticAuth",
        "StorageClient",
        "TooLarge",
        "TransportError",
        "Unavailable",
        "WaitTimeout",
        "__version__",
        "auth",
        "begins_with",
        "between",
        "contains",
        "load_ipython_extension",
        "models",
        "publish",
        "types",
    ]
    assert sorted(assembler_client.__all__) == sorted(expected)
