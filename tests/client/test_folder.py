"""Which files of a folder are sent: ignore rules, secrets, environments, links, files that git tracks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assembler_client import InvalidRequest
from assembler_client.folder import collect

KEY = "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nAAAA\n-----END " + "OPENSSH PRIVATE KEY-----\n"
ACCOUNT = '{"type": "service_account", "private_key": "-----BEGIN ' + 'PRIVATE KEY-----\\nAAAA\\n"}'
LOGIN = "//registry.example.org/:_auth" + "Token=x\n"
CERTIFICATE = "-----BEGIN " + "CERTIFICATE-----\nAAAA\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".env", "A=1"),
        (".env.local", "A=1"),
        ("sub/.env.production", "A=1"),
        (".streamlit/secrets.toml", 'a = "b"'),
        ("pages/.streamlit/secrets.toml", 'a = "b"'),
        (".netrc", "machine x"),
        (".ssh/config", "Host x"),
        (".aws/credentials", "x"),
        (".npmrc", LOGIN),
        (".npmrc", "x"),
        (".pypirc", "[pypi]"),
        ("id_rsa", KEY),
        ("id_rsa_backup", KEY),
        ("ID_ED25519", KEY),
        ("certs/server.pem", CERTIFICATE + KEY),
        ("server.key", KEY),
        ("store.p12", "x"),
        ("gcp.json", ACCOUNT),
    ],
)
def test_secrets_stay_out_unless_they_are_included_by_name(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path, {"app.py": "x", path: text})
    found = collect(tmp_path)
    assert list(found) == ["app.py"]
    ((left_out, reason),) = found.left_out.items()
    assert reason == "secret" and path.startswith(left_out.rstrip("/"))
    # Neither git nor .gitignore publish a secret.
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "-A")
    write(tmp_path, {".gitignore": f"!*\n!/{path}\n"})
    assert list(collect(tmp_path)) == [".gitignore", "app.py"]
    write(tmp_path, {".assemblerignore": f"!/{left_out}\n!/{path}\n"})
    assert path in collect(tmp_path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".env.example", "A="),
        (".env.local.sample", "A="),
        (".streamlit/config.toml", "x"),
        ("secrets.toml.example", "x"),
        (".npmrc", "legacy-peer-deps=true\n"),
        ("certs/ca.pem", CERTIFICATE),
        ("id_rsa_reader.py", "x"),
        ("keys/piano.key", "c d e"),
        ("data.json", '{"type": "service_account_type"}'),
        ("environment/app.py", "x"),
        (".github/workflows/x.yml", "x"),
        ("cache/x", "x"),
        ("aws/x", "x"),
    ],
)
def test_files_that_only_resemble_secrets_are_sent(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path, {path: text})
    found = collect(tmp_path)
    assert list(found) == [path]
    assert found.left_out == {}


def test_environments_caches_and_repositories_stay_out(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": "x", "env39/pyvenv.cfg": "", "env39/lib/a.py": "x", ".cache/huggingface/x.json": "{}"})
    write(tmp_path, {"__MACOSX/._app.py": "x", "module/.git": "gitdir: ../.git/modules/module", "module/a.py": "x"})
    found = collect(tmp_path)
    assert list(found) == ["app.py", "module/a.py"]
    assert found.left_out == {".cache/": "ignored", "__MACOSX/": "ignored", "env39/": "environment"}


def test_a_line_for_a_folder_does_not_include_its_secrets(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": "x", ".streamlit/secrets.toml": "x", ".streamlit/config.toml": "x"})
    write(tmp_path, {".assemblerignore": "!.streamlit/\n"})
    assert list(collect(tmp_path)) == [".streamlit/config.toml", "app.py"]


def test_files_that_git_tracks_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"app.py": "x", ".gitignore": "*.pt\ntemplates/\n", "a/b/c.pt": "x", "templates/first.txt": "x"})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "-A")
    write(tmp_path, {"templates/second.txt": "x", "other.pt": "x"})
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    found = collect(tmp_path)
    assert list(found) == [".gitignore", "a/b/c.pt", "app.py", "templates/first.txt"]
    assert found.left_out == {"other.pt": "ignored", "templates/second.txt": "ignored"}
    # Paths are relative to the folder, which may be below the root of the repository.
    assert list(collect(tmp_path / "a")) == ["b/c.pt"]
    # The rules of .assemblerignore are about what is published: they hold for tracked files.
    write(tmp_path, {".assemblerignore": "a/\n"})
    assert "a/b/c.pt" not in collect(tmp_path)


def test_the_rules_hold_for_what_a_link_points_to(tmp_path: Path) -> None:
    write(
        tmp_path, {"app.py": "x", ".env": "A=1", ".gitignore": "private/\n", "private/a": "x", "data/real/a.txt": "x"}
    )
    write(tmp_path, {"data/real/.env": "A=1", "private/folder/b": "x"})
    for name, target in {
        "settings": ".env",
        "note": "private/a",
        "all": "private/folder",
        "data/link": "real",
        "copy.py": "app.py",
    }.items():
        (tmp_path / name).symlink_to(target)
    found = collect(tmp_path)
    assert list(found) == [".gitignore", "app.py", "copy.py", "data/link/a.txt", "data/real/a.txt"]
    assert found.left_out["settings"] == "secret" and found.left_out["note"] == found.left_out["all"] == "ignored"
    assert found.left_out["data/link/.env"] == "secret"


def test_all_bad_links_are_reported_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    write(folder, {"app.py": "x", "sub/a": "x"})
    links = {"model.bin": "missing/model.bin", "out": "/etc", "sub/up": "..", "sub/self": "self"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    with pytest.raises(InvalidRequest) as refused:
        collect(folder)
    assert {issue.path: issue.code for issue in refused.value.issues} == {
        "model.bin": "broken_link",
        "out": "link_outside",
        "sub/self": "broken_link",
        "sub/up": "link_to_folder",
    }
    write(folder, {".assemblerignore": "\n".join(links)})
    assert list(collect(folder)) == ["app.py", "sub/a"]


def test_links_between_folders_do_not_multiply_files(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, {f"d{number}/a": "x"})
        if number < 29:
            for name in ("left", "right"):
                (tmp_path / f"d{number}" / name).symlink_to(f"../d{number + 1}")
    with pytest.raises(InvalidRequest, match="inside a linked folder"):
        collect(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rules=st.lists(st.text(st.sampled_from("!*/.envabp?[]\\#- "), max_size=8), max_size=6))
def test_no_rules_of_git_publish_a_secret(tmp_path: Path, rules: list[str]) -> None:
    write(tmp_path, {"app.py": "x", ".env": "A=1", "sub/.env": "A=1", ".gitignore": "\n".join(rules)})
    try:
        found = set(collect(tmp_path))
    except InvalidRequest as refused:
        assert refused.issues[0].code == "no_files"
        return
    assert not found & {".env", "sub/.env"}
