"""A Hub of one's own as a process, and the list of what a Hub must answer, run against it and against others."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import HfApi

from assembler_runner.devhub import Account, Fault, StandInHub
from assembler_runner.devhub.flags import parse_fault, parse_stages
from assembler_runner.ops.cli.operator import doctor
from assembler_runner.targets.hub.conformance import examine
from tests.support.services import Process

# The library of the Hub says this of its own uploads.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REQUIRED = 13


def judged(hub: StandInHub, tmp_path: Path) -> dict[str, tuple[str, str | None]]:
    found = {result.line.name: (result.outcome, result.said) for result in examine(hub.url, "hf_alice", 10.0, tmp_path)}
    assert hub.bugs == []
    return found


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


def test_the_stand_in_passes_every_line_and_nothing_is_left(hub: StandInHub, tmp_path: Path) -> None:
    found = judged(hub, tmp_path)
    assert {name: outcome for name, outcome in found.items() if outcome[0] != "ok"} == {}
    assert len(found) == REQUIRED + 6
    assert hub.spaces() == []


@pytest.mark.parametrize(
    ("fault", "line", "outcome"),
    [
        (Fault(path="/runtime$", status=404, times=None), "runtime", "missing"),
        (Fault(path="/variables$", status=501, times=None), "variables", "missing"),
        (Fault(method="POST", path="repos/move", status=404, times=None), "move", "missing"),
        (Fault(path="/tree/", status=404, times=None), "files", "failed"),
        (Fault(method="POST", path="repos/create", after=1, kind="garbage"), "create again", "failed"),
    ],
)
def test_what_a_hub_lacks_is_named(hub: StandInHub, tmp_path: Path, fault: Fault, line: str, outcome: str) -> None:
    hub.faults.add(fault)
    found = judged(hub, tmp_path)
    assert found[line][0] == outcome
    assert hub.spaces() == []


def test_a_hub_that_overwrites_what_others_did_is_told(hub: StandInHub, tmp_path: Path) -> None:
    accept = {
        "success": True,
        "commitOid": "0" * 40,
        "commitUrl": f"{hub.url}/spaces/alice/x/commit/{'0' * 40}",
        "hookOutput": "",
    }
    hub.faults.add(Fault(method="POST", path="/commit/", after=1, status=200, body=accept, times=1))
    outcome, said = judged(hub, tmp_path)["stale parent"]
    assert (outcome, said) == ("failed", "a commit on top of an older one was accepted")


def test_something_that_is_no_hub_fails_at_the_first_line(tmp_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        (result,) = examine(address, "hf_x", 5.0, tmp_path)
        assert (result.line.name, result.outcome) == ("account", "failed")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run_doctor(tmp_path: Path, token: str, *arguments: str) -> Result:
    environ = {"HF_TOKEN": token, "APPS": "off"}
    return CliRunner(env=environ).invoke(doctor, ["--instance", str(tmp_path / "instance"), *arguments])


def test_the_doctor_judges_a_hub(hub: StandInHub, tmp_path: Path) -> None:
    done = run_doctor(tmp_path, "hf_alice", "--endpoint", hub.url)
    assert done.exit_code == 0, done.output
    assert f"{REQUIRED} of {REQUIRED} required lines, 0 optional ones missing" in done.output
    hub.add_account("hf_reader", Account("reader", token_role="read"))
    done = run_doctor(tmp_path, "hf_reader", "--endpoint", hub.url)
    assert (done.exit_code, "FAILED  create" in done.output) == (1, True)
    assert "Spaces cannot be published there." in done.output
    assert "hf_reader" not in done.output
    assert "HF_TOKEN is not set" in run_doctor(tmp_path, "", "--endpoint", hub.url).output


def test_flags_say_stages_logs_and_faults(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("first line\nsecond line\n")
    arguments = ["--port", "0", "--token", "hf_mine", "--account", "me", "--run-log", str(log)]
    arguments += ["--stages", "BUILDING:0,RUNTIME_ERROR", "--fault", "GET /api/spaces/me/gone 503"]
    with Process("-m", "assembler_runner", "devhub", *arguments) as process:
        url = process.wait_for_line(r"ready at (\S+)").group(1)
        api = HfApi(endpoint=url, token="hf_mine")
        assert api.whoami()["name"] == "me"
        api.create_repo("me/app", repo_type="space", space_sdk="gradio")
        api.upload_file(path_or_fileobj=b"x", path_in_repo="app.py", repo_id="me/app", repo_type="space")
        assert api.get_space_runtime("me/app").stage == "RUNTIME_ERROR"
        assert [line.rstrip() for line in api.fetch_space_logs("me/app")] == ["first line", "second line"]
        with pytest.raises(Exception, match="503"):
            api.space_info("me/gone")
        process.stop()
    assert sys.executable not in process.log


def test_forms_of_faults_and_stages() -> None:
    fault = parse_fault("POST /commit/ hang:2.5 x3 after 1")
    assert (fault.method, fault.path, fault.kind, fault.seconds) == ("POST", "/commit/", "hang", 2.5)
    assert (fault.times, fault.after) == (3, 1)
    assert (parse_fault("/api/ 429 x*").times, parse_fault("/api/ 429").status) == (None, 429)
    assert [(stage.name, stage.seconds) for stage in parse_stages("BUILDING:2,RUNNING")] == [
        ("BUILDING", 2.0),
        ("RUNNING", None),
    ]
    for wrong in ("", "nonsense", "PATCH /x 500", "/x 999"):
        with pytest.raises(ValueError, match="form"):
            parse_fault(wrong)
    with pytest.raises(ValueError, match="form"):
        parse_stages("building")
    assert json.dumps(parse_fault("/x drop_after").kind) == '"drop_after"'
