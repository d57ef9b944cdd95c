"""The starter apps of gradio and streamlit, with their packages from an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.app_service import AppService, visit

pytestmark = pytest.mark.slow


def run(apps: AppService, **body: Any) -> dict[str, Any]:
    """Runs a template; skips where its packages cannot be installed."""
    space = apps.client.post("/spaces", {"target": "local", **body})
    found = apps.until(space["id"], "running", "build_error", "runtime_error", timeout=300)
    if found["state"] == "build_error":
        pytest.skip(f"no package index: {found['problem']['message']}")
    assert found["state"] == "running", found["problem"]
    return found


def test_gradio_answers(apps: AppService) -> None:
    space = run(apps, space_type="gradio", template="text", name="gradio", parameters={"title": "Counter"})
    url = space["app_url"]
    config = visit(url, "/config").json()
    assert config["title"] == "Counter" or "Counter" in json.dumps(config)
    parts = urlsplit(url)
    address, headers = f"http://127.0.0.1:{parts.port}", {"Host": parts.netloc}
    api = next(iter(visit(url, "/gradio_api/info").json()["named_endpoints"]))
    call = httpx.post(f"{address}/gradio_api/call{api}", json={"data": ["one two three"]}, headers=headers, timeout=60)
    event = call.json()["event_id"]
    with httpx.stream("GET", f"{address}/gradio_api/call{api}/{event}", headers=headers, timeout=60) as events:
        text = "".join(events.iter_text())
    assert "complete" in text and "3" in text


def test_streamlit_answers(apps: AppService) -> None:
    space = run(apps, space_type="streamlit", template="dashboard", name="streamlit")
    assert visit(space["app_url"], "/_stcore/health").text == "ok"
    assert "<title>Streamlit</title>" in visit(space["app_url"]).text


def test_an_app_that_was_built_once_starts_without_the_index(apps: AppService, tmp_path: Path) -> None:
    first = run(apps, space_type="gradio", template="chat", name="cached")
    log = apps.log(first["id"], "build")
    assert any("installed already" in line for line in log), log
