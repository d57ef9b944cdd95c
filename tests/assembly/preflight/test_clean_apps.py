"""Clean apps get no error and no word about secrets, and are recognised as what they are."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.assembly.preflight.check import check
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.recognise import recognise
from assembler_runner.files.tree import SpaceFile
from tests.assembly.preflight.clean_apps import APPS, all_apps
from tests.assembly.preflight.support import OPTIONS, SDKS

ALL = dict(all_apps())
OTHERS_ARE = {"streamlit": "streamlit", "gradio": "gradio", "static": "static"}


def given(files: dict[str, Any]) -> dict[str, SpaceFile]:
    return {path: SpaceFile(path, text.encode(), "given") for path, text in files.items()}


def test_there_are_enough_apps() -> None:
    assert len(ALL) >= 200
    assert len({str(files) for files in APPS.values()}) == len(APPS) >= 50


@pytest.mark.parametrize("name", ALL)
def test_a_clean_app_is_recognised_and_has_no_error(name: str) -> None:
    files = given(ALL[name])
    found = recognise(files, SDKS)
    assert found.space_type == OTHERS_ARE.get(name.split("-", maxsplit=1)[0], "docker"), found
    context = Context(
        files,
        sdk=SDKS[found.space_type],
        space_type=found.space_type,
        options={**OPTIONS[found.space_type], **found.options},
    )
    findings = check(context)
    assert [finding for finding in findings if finding.severity == "error" or finding.code.startswith("secret")] == []
    # Not a word either, but for what is worth knowing in an app that runs.
    assert {finding.code for finding in findings} <= {"card_sdk_streamlit"}, findings
