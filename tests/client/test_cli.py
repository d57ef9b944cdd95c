"""The command line against a running service, in separate processes."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.client.conftest import Running
from tests.support.services import PASSWORD, PROJECT

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]
PROGRAM = "import sys; from assembler_client.cli import main; main()"
# Seconds: the default patience is 60, and a start of the command takes a few on a busy machine.
WITHOUT_RETRIES = 20.0


@pytest.fixture
def run(running: Running, tmp_path: Path) -> Run:
    """Runs the command with its own home and working directory."""
    folder = tmp_path / "work"
    folder.mkdir()

    def run(*arguments: str, code: int = 0, stdin: str = "", **environ: str) -> Done:
        ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client"), "LANG": "C.UTF-8"}
        ours |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)} | environ
        command = [sys.executable, "-c", PROGRAM, *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, input=stdin, env=ours, cwd=folder, timeout=120
        )
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def logged_in(run: Run, running: Running) -> Run:
    run("login", "--url", running.url, "-u", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")
    return run


@pytest.fixture
def site(tmp_path: Path, run: Run) -> Path:
    folder = tmp_path / "work" / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>Hello</h1>\n")
    return folder


@pytest.fixture
def name() -> str:
    return f"cli-{time.monotonic_ns()}"


def test_a_login_is_stored_for_its_owner_only(logged_in: Run, running: Running, tmp_path: Path) -> None:
    stored = tmp_path / "config" / "assembler" / "profiles.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.parent.stat().st_mode) == 0o700
    assert PASSWORD not in stored.read_text()
    assert json.loads(logged_in("whoami", "--json").stdout)["name"] == "admin"
    # A login is not sent to another service.
    other = logged_in("whoami", "--url", running.url.replace("127.0.0.1", "localhost"), code=4)
    assert "assembler login" in other.stderr
    # An expired token is renewed, and the new one is stored.
    profiles = json.loads(stored.read_text())
    old = profiles["profiles"]["default"]["tokens"]
    profiles["profiles"]["default"]["ends_at"] = 0
    stored.write_text(json.dumps(profiles))
    logged_in("whoami")
    new = json.loads(stored.read_text())["profiles"]["default"]["tokens"]
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] != old["refresh_token"]
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    logged_in("logout")
    assert "default" not in stored.read_text()
    assert "No service configured" in logged_in("whoami", code=2).stderr
    ended = logged_in("list", "--json", code=4, ASSEMBLER_URL=running.url, ASSEMBLER_TOKEN=new["access_token"])
    assert json.loads(ended.stdout)["error"]["status_code"] == 401


def test_a_wrong_password_is_reported(run: Run, running: Running) -> None:
    done = run("login", "--url", running.url, "-u", "admin", "--password-stdin", stdin="wrong\n", code=4)
    assert "credentials are not valid" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_life(logged_in: Run, site: Path, name: str) -> None:
    made = logged_in("create", "site", "--name", name, "-p", "count=3", "-p", "user=x", "--label", "cli")
    assert made.stdout.strip().endswith(f"/admin/{name}")
    assert "Succeeded" in made.stderr and f"{name} is running." in made.stderr
    assert name in logged_in("list", "-f", f"name={name}").stdout
    shown = json.loads(logged_in("show", name, "--json").stdout)
    assert shown["latest_request"]["parameters"] == {"count": 3, "user": "x"}
    assert shown["labels"] == ["cli"]
    (site / "index.html").write_text("<h1>Bye</h1>\n")
    preview = logged_in("preview", "site", "--space", name).stdout
    assert "changed: index.html" in preview
    assert "-<h1>Hello</h1>" in preview and "+<h1>Bye</h1>" in preview
    logged_in("update", name, "site")
    logged_in("update", name, "--merge", "--remove", "index.html", "--json", code=3)
    back = json.loads(logged_in("rollback", name, "--json").stdout)
    assert back["latest_request"]["action"] == "rollback"
    lines = [json.loads(line) for line in logged_in("events", name, "--json").stdout.splitlines()]
    assert [line["type"] for line in lines if line["type"] == "succeeded"] == ["succeeded"] * 3
    assert "neither builds nor runs" in logged_in("logs", name).stderr
    assert "use --yes" in logged_in("delete", name, code=2).stderr
    logged_in("delete", name, "-y")
    assert name not in logged_in("list").stdout
    assert name in logged_in("list", "--all", "-f", f"name={name}").stdout


def test_errors_read_like_those_of_a_compiler(logged_in: Run, site: Path) -> None:
    (site / "index.html").unlink()
    (site / "app.py").write_text("import gradio\n\ndef f(:\n    pass\n")
    done = logged_in("create", "site", code=3)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error[syntax_error]: app.py is not valid Python")
    assert lines[1:5] == [" --> app.py:3", "  |", "3 | def f(:", "  |"]
    assert lines[5].startswith("  = help: ")
    assert "\x1b" not in done.stderr
    error = json.loads(logged_in("create", "site", "--json", code=3).stdout)["error"]
    assert (error["issues"][0]["path"], error["issues"][0]["line"]) == ("app.py", 3)


def test_publishing_as_a_person_needs_a_sign_in_at_the_hub(logged_in: Run, site: Path) -> None:
    done = logged_in("create", "site", "-t", "static", "--target", "huggingface", "--as", "me", code=3)
    assert done.stderr.startswith("error[as_not_possible]: People do not sign in at the Hub here")


def test_findings_of_an_accepted_request_are_shown(logged_in: Run, site: Path, name: str) -> None:
    (site / "index.html").write_text('<h1>Hello</h1><img src="missing.png">\n')
    made = logged_in("create", "site", "--name", name)
    assert "info[type_recognized]: " in made.stderr and "static was recognized" in made.stderr
    shown = json.loads(logged_in("update", name, "site", "--type", "static", "--json").stdout)
    found = {finding["code"]: finding for finding in shown["findings"]}
    assert "type_recognized" not in found
    broken = [finding for finding in found.values() if finding["path"] == "index.html"]
    assert broken and broken[0]["severity"] == "warning"
    assert f"warning[{broken[0]['code']}]: " in made.stderr
    assert f"--> index.html:{broken[0]['line']}" in made.stderr
    assert made.stderr.index("warning[") < made.stderr.index("info["), "the important ones come first"


def test_secrets_stay_out_and_are_named(logged_in: Run, site: Path) -> None:
    for path in (".env.local", ".gitignore", "dist/x", "venv/pyvenv.cfg"):
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text("dist/\n" if path == ".gitignore" else "A=1\n")
    shown = logged_in("preview", "site")
    assert ".env" not in shown.stdout and "venv" not in shown.stdout
    assert "usually hold secrets: .env.local" in shown.stderr and "2 ignored files and folders" in shown.stderr
    assert "Left out: venv/ (environment)" in logged_in("preview", "site", "--verbose").stderr
    assert json.loads(logged_in("preview", "site", "--json").stdout)["left_out"] == [
        {"path": ".env.local", "reason": "secret"},
        {"path": "dist/", "reason": "ignored"},
        {"path": "venv/", "reason": "environment"},
    ]
    (site / "index.html").unlink()
    (site / "app.py").write_text("def f(:\n")
    refused = json.loads(logged_in("create", "site", "--json", code=3).stdout)
    assert [left["path"] for left in refused["left_out"]] == [".env.local", "dist/", "venv/"]


def test_safe_fixes_and_allowed_errors(logged_in: Run, site: Path, name: str) -> None:
    (site / "index.html").unlink()
    (site / "app.py").write_text("import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n")
    (site / "requirements.txt").write_text("pip install numpy\n")
    shown = json.loads(logged_in("preview", "site", "--fix", "--json").stdout)
    assert "fixed" in {finding["code"] for finding in shown["findings"]}
    assert {file["origin"] for file in shown["files"] if file["path"] == "requirements.txt"} == {"fixed"}
    key = "hf" + "_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ2bC4dF6h"
    (site / "app.py").write_text(f'import gradio as gr\nTOKEN = "{key}"\ngr.Interface(str, "text", "text").launch()\n')
    refused = logged_in("preview", "site", "--fix", code=3)
    assert "error[secret_in_file]: " in refused.stderr and "--> app.py:2" in refused.stderr
    logged_in("preview", "site", "--fix", "--allow", "secret_in_file")


def test_a_fix_is_shown_and_applied(logged_in: Run, running: Running, site: Path, name: str) -> None:
    logged_in("create", "site", "--name", name)
    assert "has no problem to fix" in logged_in("fix", name, "--yes", code=4).stderr
    edit = {"path": "index.html", "action": "replace", "line": 1, "old": "Hello", "new": "Fixed"}
    fix = {"title": "Say Fixed", "safe": True, "edits": [edit], "options": {}}
    problem = {"code": "exception", "message": "It says Hello.", "fix": fix}
    with closing(sqlite3.connect(running.folder / "assembler.db")) as connection, connection:
        statement = "UPDATE spaces SET problem = ? WHERE name = ?"
        assert connection.execute(statement, (json.dumps(problem), name)).rowcount == 1
    done = logged_in("fix", name, code=2)
    assert "use --yes" in done.stderr
    done = logged_in("fix", name, "--yes")
    for line in ("error[exception]: It says Hello.", "--- a/index.html", "-<h1>Hello</h1>", "+<h1>Fixed</h1>"):
        assert line in done.stderr
    assert "-<h1>Fixed</h1>" in logged_in("preview", "site", "--space", name).stdout


def test_starter_apps(logged_in: Run, tmp_path: Path) -> None:
    assert "static\t" in logged_in("types").stdout
    assert "landing" in logged_in("types", "static").stdout
    written = logged_in("init", "static", "new").stdout.split()
    assert "new/index.html" in written
    assert "new/params.js" not in written
    assert all((tmp_path / "work" / path).is_file() for path in written)
    assert "already exists" in logged_in("init", "static", "new", code=3).stderr
    logged_in("init", "static", "new", "--force")
    sent = logged_in("create", "new", "--name", "from-init", "-p", "headline=Hello", "--json")
    space = json.loads(sent.stdout)
    assert space["findings"] == []
    assert space["latest_request"]["parameters"] == {
        "headline": "Hello",
        "text": "Something new starts here.",
        "button": "Learn more",
        "link": "https://example.org",
    }
    page = httpx.get(f"{space['url']}/live/params.js").text
    assert '"headline": "Hello"' in page
    assert '"button": "Learn more"' in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create",), "No files given"),
        (("create", "nowhere"), "does not exist"),
        (("update", "x"), "Nothing to change"),
        (("create", "site", "-p", "x"), "NAME=VALUE"),
        (("create", "site", "-s", "NOT_THERE"), "NOT_THERE is not set"),
        (("list", "--profile", "nobody"), "Profile nobody does not exist"),
        (("list", "-f", "state=runing"), "there is no state 'runing'. Did you mean running?"),
        (("lits",), "No such command 'lits'. Did you mean list"),
        (("xyzzy",), "No such command 'xyzzy'."),
        (("list", "--url", "127.0.0.1"), "must be the address"),
        (("login", "--url", "localhost:5005"), "Did you mean http://localhost:5005?"),
        (("list", "--url", "http://localhost:port"), "must be the address"),
        (("delete", "no-such-space"), "use --yes"),
    ],
)
def test_wrong_usage_is_reported(logged_in: Run, site: Path, arguments: tuple[str, ...], message: str) -> None:
    done = logged_in(*arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_exit_codes(logged_in: Run, site: Path, name: str) -> None:
    logged_in("show", "no-such-space", code=4)
    logged_in("create", "site", "--name", name, "--timeout", "0", code=6)
    logged_in("list", "--url", "http://127.0.0.1:1", code=4, ASSEMBLER_TOKEN="x", ASSEMBLER_PATIENCE="0")


def test_help_is_fast_and_imports_neither_server_nor_client(run: Run) -> None:
    program = "import sys; from assembler_client.cli import cli; cli(['--help'], standalone_mode=False)"
    program += "; print(sorted({name.split('.')[0] for name in sys.modules}))"
    environ = {**os.environ, "PYTHONPATH": str(PROJECT / "client")}
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    modules = set(eval(shown.stdout.splitlines()[-1]))
    assert not modules & {"httpx", "pydantic", "rich", "flask", "sqlalchemy", "celery"}
    assert "create" in shown.stdout and "Create a Space" in shown.stdout


def test_client_commands_import_nothing_of_the_server() -> None:
    program = "import sys; import assembler_client.cli as c; [c.cli.get_command(None, name) for name in c.COMMANDS]"
    program += (
        "; import assembler_client.assembler; print([n for n in sys.modules if n.startswith('assembler_runner')])"
    )
    environ = {**os.environ, "PYTHONPATH": str(PROJECT / "client")}
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert shown.stdout.strip() == "[]"


def test_a_login_to_a_wrong_address_fails_at_once(run: Run) -> None:
    started = time.monotonic()
    done = run("login", "--url", "http://127.0.0.1:1", "-u", "admin", "--password-stdin", stdin="x\n", code=4)
    assert time.monotonic() - started < WITHOUT_RETRIES
    assert "Cannot reach http://127.0.0.1:1: connection refused. Is the service running?" in done.stderr


def test_a_service_that_never_answered_is_reported_at_once(run: Run) -> None:
    started = time.monotonic()
    done = run("list", "--url", "http://127.0.0.1:1", code=4, ASSEMBLER_TOKEN="x")
    assert time.monotonic() - started < WITHOUT_RETRIES
    assert "Cannot reach http://127.0.0.1:1: connection refused. Is the service running?" in done.stderr
    assert "Retrying" not in done.stderr


def test_a_login_retries_with_an_explicit_patience(run: Run) -> None:
    started = time.monotonic()
    arguments = ("login", "--url", "http://127.0.0.1:1", "-u", "admin", "--password-stdin")
    done = run(*arguments, stdin="x\n", code=4, ASSEMBLER_PATIENCE="3")
    assert time.monotonic() - started > 1.5
    assert "connection refused" in done.stderr


def test_retries_are_reported_once(run: Run) -> None:
    done = run("list", "--url", "http://127.0.0.1:1", code=4, ASSEMBLER_TOKEN="x", ASSEMBLER_PATIENCE="3")
    assert done.stderr.count("connection refused. Is the service running? Retrying for up to 3 s.") == 1


def test_similar_spaces_are_suggested(logged_in: Run, site: Path, name: str) -> None:
    logged_in("create", "site", "--name", name)
    done = logged_in("show", f"{name}x", code=4)
    assert f"There is no Space {name}x." in done.stderr
    assert "Did you mean " in done.stderr and name in done.stderr.partition("Did you mean ")[2]
    assert "Did you mean" not in logged_in("show", "xyzzy", code=4).stderr


def test_a_preview_with_an_error_ends_with_3(logged_in: Run, site: Path) -> None:
    logged_in("preview", "site")
    (site / "index.html").rename(site / "page.html")
    done = logged_in("preview", "site", "--type", "static", code=3)
    assert "page.html" in done.stdout
    assert "error[" in done.stderr
    shown = json.loads(logged_in("preview", "site", "--type", "static", "--json", code=3).stdout)
    assert "error" in {finding["severity"] for finding in shown["findings"]}


def test_a_template_that_does_not_exist(logged_in: Run, tmp_path: Path) -> None:
    done = logged_in("init", "static", "fresh", "--template", "landng", code=3)
    assert "error[unknown_template]" in done.stderr
    assert "Did you mean landing?" in done.stderr
    assert not (tmp_path / "work" / "fresh").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(run: Run, shell: str) -> None:
    assert "_ASSEMBLER_COMPLETE" in run("completion", shell).stdout
    if shell == "bash":
        done = run(_ASSEMBLER_COMPLETE="bash_complete", COMP_WORDS="assembler cre", COMP_CWORD="1")
        assert done.stdout == "plain,create\n"
