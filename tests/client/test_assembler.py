"""Deploying with one call: folders, large files, findings, failures, and a service that crashes meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assembler_client import (
    AppFailed,
    Assembler,
    AsyncAssembler,
    Conflict,
    InvalidRequest,
    NotFound,
    RequestFailed,
    WaitTimeout,
)
from assembler_client.models import Event
from assembler_client.upload import LARGE_BYTES, UploadProgress
from assembler_runner.devhub import StandInHub
from tests.client.conftest import Running
from tests.support.services import PASSWORD


@pytest.fixture
def name() -> str:
    return f"space-{time.monotonic_ns()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "app"
    (made / "img").mkdir(parents=True)
    (made / "index.html").write_text("<h1>Hello</h1>")
    (made / "img" / "dot.bin").write_bytes(b"\x00\xff")
    (made / "notes.tmp").write_text("not this")
    (made / ".gitignore").write_text("*.tmp\n")
    return made


def given(space: Any) -> dict[str, int]:
    return {file.path: file.size for file in space.latest_request.files if file.origin == "given"}


def test_a_folder_becomes_a_space(assembler: Assembler, folder: Path, name: str) -> None:
    events: list[Event] = []
    space = assembler.deploy(folder, name=name, on_event=events.append, parameters={"user": "x"})
    assert (space.name, space.space_type, space.state) == (name, "static", "running")
    assert space.latest_request is not None and space.latest_request.parameters == {"user": "x"}
    assert given(space) == {".gitignore": 6, "img/dot.bin": 2, "index.html": 14}
    kinds = [event.type for event in events]
    assert kinds[:2] == ["queued", "running"]
    assert "succeeded" in kinds
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert [event.type for event in assembler.events(name)][:2] == ["queued", "running"]


def test_large_files_are_uploaded_once(assembler: Assembler, folder: Path, name: str) -> None:
    large = bytes(range(256)) * (LARGE_BYTES // 256) + name.encode()
    (folder / "large.bin").write_bytes(large)
    received: list[UploadProgress] = []
    space = assembler.deploy(folder, name=name, on_upload=received.append)
    assert given(space)["large.bin"] == len(large)
    assert (received[-1].path, received[-1].sent, received[-1].total) == ("large.bin", len(large), len(large))
    received.clear()
    (folder / "index.html").write_text("<h1>Hello again</h1>")
    changed = assembler.update(name, folder, on_upload=received.append)
    assert (given(changed)["large.bin"], given(changed)["index.html"]) == (len(large), 20)
    assert received == []
    found = assembler.find_bucket_files(filter={"name": "large.bin", "size": len(large)})
    assert len(found) == 1
    assert assembler.download_bucket_file(found[0], folder.parent).read_bytes() == large


def test_an_archive_becomes_a_space(assembler: Assembler, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "site.zip", "w") as archive:
        archive.writestr("site/index.html", "<h1>Zipped</h1>")
    space = assembler.deploy(tmp_path / "site.zip", space_type="static", name=name)
    assert given(space) == {"index.html": 15}


def test_a_life(assembler: Assembler, name: str) -> None:
    space = assembler.deploy({"index.html": "<h1>1</h1>"}, name=name)
    shown = assembler.preview({"index.html": "<h1>2</h1>", "more.txt": "x"}, space=name)
    assert shown.diff is not None
    assert ([file.path for file in shown.diff.added], [file.path for file in shown.diff.changed]) == (
        ["more.txt"],
        ["index.html"],
    )
    changed = assembler.update(name, {"index.html": "<h1>2</h1>", "more.txt": "x"})
    assert set(given(changed)) == {"index.html", "more.txt"}
    with pytest.raises(Conflict):
        assembler.update(name, {"index.html": "3"}, if_match="0123abc")
    merged = assembler.update(name, {"index.html": "<h1>33</h1>", "more.txt": None}, mode="merge")  # type: ignore[dict-item]
    assert given(merged) == {"index.html": 11}
    back = assembler.rollback(space)
    assert set(given(back)) == {"index.html", "more.txt"}
    same = assembler.update(name, {"index.html": "<h1>2</h1>", "more.txt": "x"})
    assert same.latest_request is not None and same.latest_request.unchanged
    assert assembler.logs(name, kind="build").meta.note
    assembler.delete(name)
    found = assembler.get_space(space)
    assert found is not None and found.state == "deleted"
    again = assembler.deploy({"index.html": "<h1>1</h1>"}, name=name)
    assert assembler.find(name).id == again.id != space.id


def test_all_findings_are_reported_at_once(assembler: Assembler) -> None:
    with pytest.raises(InvalidRequest) as refused:
        assembler.deploy({"app.py": "def f(:\n"})
    errors = [issue for issue in refused.value.issues if issue.severity == "error"]
    assert [(issue.path, issue.line) for issue in errors] == [("app.py", 1)]
    assert "  app.py:1: error: " in str(refused.value)
    with pytest.raises(InvalidRequest) as refused:
        assembler.deploy({"index.html": "x"}, options={"no_such": 1}, name="--")
    assert [issue.path for issue in refused.value.issues] == ["name", "options.no_such"]


def test_missing_spaces_files_and_folders(assembler: Assembler, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such-space"):
        assembler.find("no-such-space")
    with pytest.raises(InvalidRequest, match="This file does not exist"):
        assembler.deploy(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest, match="no file to publish"):
        assembler.deploy(tmp_path)


def test_the_asynchronous_client_does_the_same(running: Running, folder: Path, name: str) -> None:
    received: list[str] = []

    async def listener(event: Event) -> None:
        received.append(event.type)

    async def work() -> None:
        async with AsyncAssembler(running.url, ("admin", PASSWORD)) as assembler:
            space = await assembler.deploy(folder, name=name, on_event=listener)
            assert space.state == "running"
            async for event in assembler.events(name):
                assert event.type in ("queued", "running", "created", "succeeded", "state")
            both = await asyncio.gather(*(assembler.deploy(folder, name=f"{name}-{number}") for number in range(3)))
            assert {one.state for one in both} == {"running"}
            await assembler.delete(name)

    asyncio.run(work())
    assert received[:2] == ["queued", "running"]


# With a Hub


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, StandInHub]]:
    """A service that publishes to a stand-in Hub."""
    with StandInHub() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "HUB_TIMEOUT": "2", "LEASE_SECONDS": "2"}
        service = Running(tmp_path_factory.mktemp("hub"), **settings)
        service.start()
        service.wait()
        yield service, hub
        service.kill()
        assert hub.bugs == []


APP = {"app.py": "import gradio as gr\n\ngr.Interface(str, 'text', 'text').launch()\n"}


def test_a_failed_app_is_reported_with_its_cause(stage: tuple[Running, StandInHub]) -> None:
    running, hub = stage
    hub.script("alice/broken", [("BUILDING", 1), "RUNTIME_ERROR"])

    def write_log(event: Event) -> None:
        if event.type == "created":
            lines = ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'cv2'"]
            hub.set_logs("alice/broken", "run", lines)

    with running.assembler() as assembler, pytest.raises(AppFailed) as failed:
        assembler.deploy(APP, name="broken", timeout=120, on_event=write_log)
    assert (failed.value.space.name, failed.value.space.state) == ("broken", "runtime_error")
    assert failed.value.problem is not None
    assert (failed.value.code, failed.value.issues[0].path) == ("missing_module", "requirements.txt")
    assert "opencv-python-headless" in (failed.value.hint or "")


def test_a_failed_request_is_reported_with_its_cause(stage: tuple[Running, StandInHub]) -> None:
    with stage[0].assembler() as assembler, pytest.raises(RequestFailed) as failed:
        # What is known of the account would reject it at once.
        allow = ["namespace_not_writable"]
        assembler.deploy(APP, name="nowhere", namespace="no-such-account", allow=allow, timeout=120)
    assert failed.value.code and failed.value.hint
    assert failed.value.events[-1].type == "failed"


def test_a_timeout_is_reported(stage: tuple[Running, StandInHub]) -> None:
    with stage[0].assembler() as assembler, pytest.raises(WaitTimeout):
        assembler.deploy(APP, name="slow", timeout=3)


@pytest.mark.slow
def test_a_service_that_is_killed_and_restarted_is_survived(tmp_path: Path, folder: Path) -> None:
    service = Running(tmp_path / "own", LEASE_SECONDS="2")
    service.start()
    service.wait()
    try:
        with service.assembler() as assembler:
            for point in ("queued", "running", "created"):
                fallen = threading.Event()

                def fall(event: Event, point: str = point, fallen: threading.Event = fallen) -> None:
                    if event.type == point and not fallen.is_set():
                        fallen.set()
                        service.kill()
                        threading.Timer(1.0, service.start).start()

                space = assembler.deploy(folder, name=f"life-{point}", on_event=fall, timeout=90)
                assert fallen.is_set()
                assert space.state == "running"
                kinds = [event.type for event in assembler.events(space)]
                assert kinds.count("succeeded") == 1
            assert len(list(assembler.iter_spaces())) == 3
    finally:
        service.kill()


@pytest.mark.slow
def test_a_call_waits_for_a_service_that_starts_later(tmp_path: Path, folder: Path) -> None:
    service = Running(tmp_path / "own")
    starter = threading.Timer(1.5, service.start)
    starter.start()
    try:
        with service.assembler() as assembler:
            assert assembler.deploy(folder, name="early", timeout=60).state == "running"
    finally:
        starter.join()
        service.kill()
