"""Spaces for tests of the rules: built from the cases, with made-up secrets that no scanner of the project sees."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.files.tree import SpaceFile

CASES = Path(__file__).parent / "cases"
SDKS = {"gradio": "gradio", "static": "static", "docker": "docker", "streamlit": "docker"}
OPTIONS: dict[str, dict[str, Any]] = {
    "gradio": {"app_file": "app.py", "sdk_version": "6.31.0"},
    "streamlit": {"app_file": "app.py", "python_version": "3.12"},
    "docker": {"app_file": "app.py", "app_port": 7860, "python_version": "3.12"},
    "static": {"app_file": "index.html"},
}
STARTS = {
    "gradio": ("app.py", "import gradio as gr\n\ngr.Interface(str, 'text', 'text').launch()\n"),
    "streamlit": ("app.py", "import streamlit as st\n\nst.title('Figures')\n"),
    "static": ("index.html", "<!doctype html>\n<h1>Hello</h1>\n"),
    "docker": ("Dockerfile", 'FROM python:3.12-slim\nCOPY . .\nCMD ["python", "-m", "http.server", "7860"]\n'),
}


def made_up_secrets() -> dict[str, str]:
    """Text in braces → a secret of the right form, put together here so that it stands in no file."""
    chance = random.Random(7)

    def some(letters: str, count: int) -> str:
        return "".join(chance.choices(letters, k=count))

    both = string.ascii_letters + string.digits
    lines = "\n".join(some(both + "+/", 64) for _ in range(8))
    begin, end = "-----" + "BEGIN ", "-----" + "END "
    openssh = f"{begin}OPENSSH PRIVATE KEY-----\n{lines}\n{end}OPENSSH PRIVATE KEY-----\n"
    pkcs8 = f"{begin}PRIVATE KEY-----\n{lines}\n{end}PRIVATE KEY-----\n"
    return {
        "{TOKEN:hf}": "hf" + "_" + some(string.ascii_letters, 34),
        "{TOKEN:openai}": "sk" + "-proj-" + some(both, 74) + "T3Blbk" + "FJ" + some(both, 74),
        "{TOKEN:github}": "gh" + "p_" + some(both, 36),
        "{TOKEN:aws-id}": "AK" + "IA" + some(string.ascii_uppercase + "234567", 16),
        "{TOKEN:groq}": "gs" + "k_" + some(both, 52),
        "{KEY:openssh}": openssh,
        "{KEY:pkcs8}": pkcs8,
        "{KEY:pkcs8-json}": pkcs8.replace("\n", "\\n"),
    }


SECRETS = made_up_secrets()


def filled(value: Any) -> Any:
    """Puts the made-up secrets into texts."""
    if isinstance(value, str):
        for mark, secret in SECRETS.items():
            value = value.replace(mark, secret)
        return value
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    return [filled(inner) for inner in value] if isinstance(value, list) else value


def content(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(filled(value)).encode()


def context_of(case: Mapping[str, Any], default_type: str = "gradio") -> Context:
    """The Space of a case."""
    space_type = case.get("type", default_type)
    texts = dict(case.get("files") or {})
    if "card" in case:
        texts["README.md"] = f"---\ntitle_of_case: x\n{case['card']}\n---\n\n# Text\n"
    if not case.get("bare"):
        path, text = STARTS[space_type]
        texts.setdefault(path, text)
    files = {path: SpaceFile(path, content(value), "given") for path, value in texts.items()}
    return Context(
        files,
        sdk=SDKS[space_type],
        space_type=space_type,
        options={**OPTIONS[space_type], **case.get("options", {})},
        parameters=filled(case.get("parameters")),
        public=case.get("public", True),
        target=case.get("target", "huggingface"),
        hardware=case.get("hardware"),
        variables=filled(case.get("variables") or {}),
    )


def all_cases() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Yields code, `found` or `silent`, the case and the type of every case."""
    for path in sorted(CASES.glob("*.yml")):
        topic = yaml.safe_load(path.read_text(encoding="utf-8"))
        default_type = topic.pop("default_type")
        for code, kinds in topic.items():
            for kind in ("found", "silent"):
                for case in kinds[kind]:
                    yield code, kind, case, default_type
