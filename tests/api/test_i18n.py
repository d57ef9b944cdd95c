"""Errors and pages in the language of the caller."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from assembler_runner.core.places import PROJECT
from tests.conftest import Service

FOLDER = PROJECT / "assembler_runner" / "api" / "translations" / "de" / "LC_MESSAGES"
GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.1"}


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("de", "de"),
        ("de-CH", "de"),
        ("en", "en"),
        ("fr", "en"),
        ("fr, de;q=0.5", "de"),
        ("", "en"),
        ("\x7f;;q=x", "en"),
    ],
)
def test_an_error_comes_in_the_language_asked_for(service: Service, asked: str, language: str) -> None:
    answer = service.client.get("/spaces", headers={"Accept-Language": asked})
    english, german = "A valid access token is required.", "Ein gültiges Zugriffstoken ist nötig."
    assert answer.json["message"] == {"en": english, "de": german}[language]
    assert answer.json["code"] == "unauthorized"
    assert answer.json["name"] == "Unauthorized"
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]


def test_hints_are_translated_and_what_has_no_translation_stays(service: Service) -> None:
    answer = service.post("/spaces", {"files": {}, "typo": 1}, headers=GERMAN).json
    assert answer["message"] == "Die Anfrage ist nicht gültig."
    assert answer["hint"].startswith("Berichtigen Sie, was in issues aufgeführt ist")
    assert {"code": "unknown_field", "message": "Unknown field."}.items() <= answer["issues"][0].items()


def test_pages_are_translated(service: Service) -> None:
    page = service.client.get("/", headers=GERMAN).text
    assert '<html lang="de">' in page
    assert "Eine Fabrik für Spaces" in page
    assert "ergänzt und prüft sie" in page
    assert re.search(r"\d, jede aus einem Plugin", page)
    assert "<code>space_type</code>" in page
    page = service.client.get("/").text
    assert '<html lang="en">' in page
    assert "A factory for Spaces" in page


def pybabel(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("pybabel")), "--quiet", *arguments]
    subprocess.run(command, check=True, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin"})


def texts(catalog: Catalog) -> dict[str, str]:
    return {str(message.id): str(message.string) for message in catalog if message.id}


def test_every_text_is_translated_and_compiled(tmp_path: Path) -> None:
    pybabel("extract", "-F", "babel.cfg", "-o", str(tmp_path / "messages.pot"), ".")
    with (tmp_path / "messages.pot").open("rb") as file:
        wanted = texts(read_po(file))
    with (FOLDER / "messages.po").open("rb") as file:
        written = texts(read_po(file, locale="de"))
    with (FOLDER / "messages.mo").open("rb") as file:
        compiled = texts(read_mo(file))
    assert written.keys() == wanted.keys(), "run the pybabel commands of docs/operations.md"
    assert all(written.values())
    assert compiled == written
    for text, german in written.items():
        # Placeholders and code must be preserved.
        for word in re.findall(r"[A-Z]+ /\S+|[A-Z]+_[A-Z_]+|grant_type|space_type|issues|%\(\w+\)s|<\w+>", text):
            assert word in german, text


@pytest.mark.slow
def test_a_new_language_can_be_begun(tmp_path: Path) -> None:
    template = tmp_path / "messages.pot"
    pybabel("extract", "-F", "babel.cfg", "-o", str(template), ".")
    pybabel("init", "-i", str(template), "-d", str(tmp_path), "-l", "fr")
    pybabel("update", "-i", str(template), "-d", str(tmp_path))
    pybabel("compile", "-d", str(tmp_path))
    assert "A factory for Spaces" in (tmp_path / "fr" / "LC_MESSAGES" / "messages.po").read_text()
