"""Requests as people send them, and what should come of each: a finding that helps, or a tree that works."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from assembler_runner.devhub import Account, StandInHub
from assembler_runner.targets import SpaceSpec
from tests.conftest import MakeService, Service

GRADIO = "import gradio as gr\ngr.Interface(lambda x: x, 'text', 'text').launch()\n"
SERVE = 'FROM python:3.12\nCMD ["uvicorn","main:app","--host","0.0.0.0","--port","8000"]\n'
STREAMLIT = "import streamlit as st\n"
CARD = "---\ntitle: T\n{}---\n# x\n"


def preview(service: Service, space_type: str, files: dict[str, str], **more: Any) -> tuple[set[str], dict[str, str]]:
    """Returns the codes of the findings, and the contents of all files."""
    body = {"space_type": space_type, "files": files, **more}
    shown = service.post("/spaces/preview?content=true", body).json
    findings = shown.get("findings") or shown.get("issues") or []
    return {finding["code"] for finding in findings}, {file["path"]: file["content"] for file in shown.get("files", [])}


FOUND: list[tuple[str, str, dict[str, str]]] = [
    (
        "dependencies_elsewhere",
        "gradio",
        {"app.py": GRADIO, "pyproject.toml": "[project]\nname='x'\nversion='0'\ndependencies=['langchain']\n"},
    ),
    (
        "requirement_own_computer",
        "gradio",
        {"app.py": GRADIO, "requirements.txt": "numpy @ file:///D:/bld/numpy/pkg\n"},
    ),
    ("secret_in_file", "gradio", {"app.py": GRADIO, ".streamlit/secrets.toml": "k='v'\n"}),
    ("no_app_file", "gradio", {"server.py": GRADIO}),
    (
        "card_short_description",
        "gradio",
        {"app.py": GRADIO, "README.md": CARD.format(f"short_description: {'x' * 67}\n")},
    ),
    ("card_sdk_streamlit", "streamlit", {"app.py": STREAMLIT, "README.md": CARD.format("sdk: streamlit\n")}),
]


@pytest.mark.parametrize(("code", "space_type", "files"), FOUND, ids=[case[0] for case in FOUND])
def test_what_will_not_work_is_found(service: Service, code: str, space_type: str, files: dict[str, str]) -> None:
    assert code in preview(service, space_type, files)[0]


def test_a_lower_case_dockerfile_has_one_finding(service: Service) -> None:
    codes, _ = preview(service, "docker", {"dockerfile": "FROM python:3.12\nCMD python main.py\n", "main.py": "1"})
    assert codes == {"dockerfile_name"}


def test_the_port_of_a_command_is_that_of_the_card(service: Service) -> None:
    codes, files = preview(service, "docker", {"Dockerfile": SERVE, "main.py": "app=1\n"})
    assert (codes, "app_port: 8000" in files["README.md"]) == (set(), True)


def test_requirements_inside_of_requirements_are_copied_first(service: Service) -> None:
    given = {"app.py": STREAMLIT, "requirements.txt": "-r deep/requirements.txt\nstreamlit\n"}
    _, files = preview(service, "streamlit", {**given, "deep/requirements.txt": "pandas\n"})
    copied, _, installed = files["Dockerfile"].partition("RUN pip install")
    assert ("deep/requirements.txt" in copied, bool(installed)) == (True, True)


def test_the_version_of_gradio_is_said_once(service: Service) -> None:
    codes, files = preview(service, "gradio", {"app.py": GRADIO, "requirements.txt": "gradio==4.44.1\n"})
    assert (codes, "sdk_version: 4.44.1" in files["README.md"]) == (set(), True)


def test_a_version_of_gradio_before_its_release_is_taken(service: Service) -> None:
    readme = CARD.format("sdk: gradio\nsdk_version: 5.0.0b3\n")
    codes, files = preview(service, "gradio", {"app.py": GRADIO, "README.md": readme})
    assert (codes, "sdk_version: 5.0.0b3" in files["README.md"]) == (set(), True)


def test_the_keys_of_an_old_streamlit_card_are_used(service: Service) -> None:
    readme = CARD.format("sdk_version: 1.21.0\napp_file: main.py\npython_version: '3.9'\n")
    codes, files = preview(service, "streamlit", {"main.py": STREAMLIT, "README.md": readme})
    assert codes == set()
    assert files["requirements.txt"] == "streamlit==1.21.0\n"
    assert files["Dockerfile"].startswith("FROM python:3.9-")
    assert '"main.py"' in files["Dockerfile"]
    readme = readme.replace("title: T", "title: T\nsdk: streamlit")
    assert preview(service, "streamlit", {"main.py": STREAMLIT, "README.md": readme})[1]["requirements.txt"] == (
        "streamlit==1.21.0\n"
    )


def test_debian_packages_of_streamlit_are_installed(service: Service) -> None:
    given = {"app.py": STREAMLIT, "packages.txt": "ffmpeg\n", "pre-requirements.txt": "torch\n"}
    _, files = preview(service, "streamlit", given)
    assert "apt-get install -y --no-install-recommends ffmpeg" in files["Dockerfile"]
    assert "-r pre-requirements.txt" in files["Dockerfile"]
    assert "enableXsrfProtection=false" in files["Dockerfile"]


def test_unicode_forms_of_a_name_are_one(service: Service) -> None:
    composed, decomposed = (unicodedata.normalize(form, "0_Übersicht.py") for form in ("NFC", "NFD"))
    codes, files = preview(service, "streamlit", {decomposed: STREAMLIT}, options={"app_file": composed})
    assert codes == set()
    assert decomposed in files["Dockerfile"] or decomposed in str(files["Dockerfile"].encode().decode("unicode_escape"))


def test_odd_names_are_published_as_they_are(hub_service: Service, hub: StandInHub) -> None:
    names = ("a b#c%20?.txt", "日本語/文件.txt", "emoji_😀.md")
    request = hub_service.publish(
        space_type="static", name="odd", files={"index.html": "x", **dict.fromkeys(names, "x")}
    )
    assert request["status"] == "succeeded"
    assert set(names) < set(hub.tree("alice/odd"))


def test_an_update_of_a_free_account_creates_nothing(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(name="free")["space_id"]
    hub.clear_requests()
    assert hub_service.change(space_id, mode="merge", files={"b.html": "b"})["status"] == "succeeded"
    assert not [record for record in hub.requests if record.path == "/api/repos/create"]


def test_an_update_needs_no_plan(make_service: MakeService, hub: StandInHub) -> None:
    hub.add_account("hf_free", Account("alice", is_pro=False, can_pay=False))
    free = make_service(HF_TOKEN="hf_free", HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0)
    with free.app.app_context():
        # A Space from the time before it took a plan.
        free.services.targets.hub("hf_alice").create(SpaceSpec("alice", "old", "gradio"))
        free.services.targets._learn()
    hub.push("alice/old", {"app.py": GRADIO.encode(), "README.md": b"---\nsdk: gradio\n---\n"})
    refused = free.post("/spaces", {"space_type": "gradio", "files": {"app.py": GRADIO}})
    assert (refused.status_code, refused.json["issues"][0]["code"]) == (422, "plan_required")
    body = {"target": "huggingface", "namespace": "alice", "name": "old"}
    space_id = free.post("/spaces/adopt", body).json["id"]
    assert free.change(space_id, mode="merge", files={"data.txt": "x"})["status"] == "succeeded"
