"""The stand-in Hub in its own process, driven by its control API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils._http import get_session

from tests.support.test_standin_hub_api import CREATE, commit, create, status_of


@pytest.fixture
def process_url() -> Iterator[str]:
    command = [sys.executable, "-m", "assembler_runner", "devhub", "--port", "0"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout
        yield [process.stdout.readline(), process.stdout.readline()][-1].split()[-1]
        process.terminate()
        assert process.wait(5) == 0


def test_the_control_api(process_url: str) -> None:
    def control(method: str, name: str, body: Any = None) -> Any:
        answer = get_session().request(method, f"{process_url}/_standin/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    control("POST", "accounts", {"token": "hf_carol", "name": "carol"})
    api = HfApi(endpoint=process_url, token="hf_carol")
    name = create(api, "carol/app", space_secrets=[{"key": "S", "value": "s"}])
    control("POST", "faults", {"kind": "drop_after", "path": "/commit/"})
    with pytest.raises(httpx2.TransportError):
        commit(api, {"app.py": b"1"}, name, commit_description="request 42")
    state = control("GET", "state")
    space = state["repos"]["spaces/carol/app"]
    assert [(item["title"], item["message"]) for item in space["commits"][1:]] == [("Publish", "request 42")]
    assert {"app.py", ".gitattributes", "README.md"} == set(space["tree"])
    assert set(space["secrets"]) == {"S"}
    assert state["requests"]["by_line"][CREATE] == 1
    assert state["requests"]["by_status"] == {"200": 2, "None": 1}
    assert [fault["fired"] for fault in control("GET", "faults")] == [1]
    assert control("POST", "latency", {"seconds": 0.01})["latency"] == 0.01
    control("POST", "settings", {"rate_limit": {"quota": 1, "window": 60}})
    control("POST", "script", {"target": name, "stages": [{"name": "RUNTIME_ERROR"}], "now": True})
    assert api.get_space_runtime(name).stage == "RUNTIME_ERROR"
    assert status_of(api.get_space_runtime, name) == 429
    assert get_session().post(f"{process_url}/_standin/settings", json={"typo": 1}).status_code == 400
    control("POST", "reset")
    assert control("GET", "state")["repos"] == {}
    assert control("GET", "requests") == []
