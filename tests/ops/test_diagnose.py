"""`assembler diagnose`: the cause of an error from a log, without a service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assembler_runner.ops.cli.main import cli

LOG = 'Traceback (most recent call last):\n  File "/app/app.py", line 1, in <module>\n    import cv2\n'
LOG += "ModuleNotFoundError: No module named 'cv2'\n"


def run(*arguments: str, log: str | bytes = "") -> Result:
    return CliRunner().invoke(cli, ["diagnose", *arguments], input=log)


def test_a_cause_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    done = run(str(tmp_path / "log"))
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].startswith("error[missing_module]: ") and "cv2" in lines[0]
    assert "    4 | ModuleNotFoundError: No module named 'cv2'" in lines
    assert lines[-2:] == ["    append line requirements.txt", "    + opencv-python-headless"]


def test_the_same_as_json_from_standard_input() -> None:
    shown = json.loads(run("-", "--json", log=LOG).output)
    assert (shown["code"], shown["fix"]["safe"], shown["excerpt"]["kind"]) == ("missing_module", True, "run")
    assert json.loads(run("-", "--kind", "build", "--json", log=LOG).output)["excerpt"]["kind"] == "build"


@pytest.mark.parametrize("log", ["", "All is well.\n", b"\xff\xfe\x00"])
def test_what_is_not_known_is_unknown(log: str | bytes) -> None:
    assert json.loads(run("-", "--json", log=log).output)["code"] == "unknown"


def test_a_log_cannot_control_the_terminal() -> None:
    attack = LOG.replace("cv2", "\x1b]0;owned\x07cv2\u202e\x9b31m")
    for options in ((), ("--json",)):
        output = run("-", *options, log=attack).output
        assert not set(output) & set("\x1b\x07\x9b\u202e")


def test_the_end_of_a_long_log_counts() -> None:
    log = "ok\n" * (2 * 2**20) + LOG
    assert json.loads(run("-", "--json", log=log).output)["code"] == "missing_module"


def test_wrong_usage_is_reported() -> None:
    assert run("nowhere.log").exit_code == 2
    assert run("-", "--kind", "other").exit_code == 2


def test_other_commands_do_not_load_the_causes() -> None:
    program = "import sys; from assembler_runner.ops.cli.main import cli; cli(['--help'], standalone_mode=False); "
    program += "print('assembler_runner.runtime.causes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_what_is_known_of_the_app_makes_it_more_precise(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "main.py").write_text("import numpy\nimport cv2\n")
    (folder / "requirements.txt").write_text("numpy\n")
    (folder / "README.md").write_text("---\nsdk: docker\napp_port: 9000\n---\n")
    log = 'Traceback (most recent call last):\n  File "/app/main.py", line 2, in <module>\n'
    log += '    x = {}["y"]\nKeyError: "y"\n'
    plain = json.loads(run("-", "--json", log=log).output)
    known = json.loads(run("-", "--json", "--files", str(folder), "--type", "gradio", log=log).output)
    assert (plain["path"], known["path"], known["line"]) == (None, "main.py", 2)
    named = json.loads(run("-", "--json", "--files", "main.py", "--files", "requirements.txt", log=log).output)
    assert (named["path"], named["line"]) == ("main.py", 2)


def test_what_the_hub_says(tmp_path: Path) -> None:
    said = "base_path in README.md metadata must start with /"
    shown = json.loads(run("-", "--json", "--stage", "CONFIG_ERROR", "--said", said).output)
    assert (shown["code"], said in shown["message"]) == ("bad_front_matter", True)
    assert run("-", "--card", str(tmp_path / "nowhere.md")).exit_code == 2


def test_the_card_tells_the_port(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nsdk: docker\napp_port: 8000\n---\n")
    log = "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)\n"
    options = (
        "-",
        "--json",
        "--stage",
        "RUNTIME_ERROR",
        "--said",
        "Launch timed out, space was not healthy after 30 min",
    )
    plain = json.loads(run(*options, log=log).output)
    known = json.loads(run(*options, "--card", str(tmp_path / "README.md"), log=log).output)
    assert "8000" in plain["message"]
    assert known["code"] != plain["code"]
