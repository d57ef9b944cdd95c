"""Import names and the packages that provide them."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions

import pytest

from assembler_runner.runtime.causes.context import normal
from assembler_runner.runtime.causes.modules import project_name, project_of, provider_of, tables

REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,]+\])?(<\d+)?|git\+https://github\.com/\S+\.git")


def test_every_package_is_a_requirement() -> None:
    known = tables()
    named = [*known["own"].values(), *known["parts"].values(), *known["distributions"].values()]
    assert [text for text in named if text and not REQUIREMENT.fullmatch(text)] == []
    assert len(named) > 700


def test_no_module_of_python_itself_has_a_package() -> None:
    known = tables()
    assert [
        name
        for name in (*known["own"], *known["distributions"])
        if name in sys.stdlib_module_names and project_of(name)
    ] == []


def test_the_table_agrees_with_what_is_installed_here() -> None:
    differ = {}
    for module, projects in packages_distributions().items():
        known = project_of(module)
        if known and "git+" not in known and normal(project_name(known)) not in {normal(name) for name in projects}:
            differ[module] = (known, projects)
    assert differ == {}


@pytest.mark.parametrize(
    ("module", "requirement"),
    [
        ("PIL", "Pillow"),
        ("sklearn", "scikit-learn"),
        ("nacl", "PyNaCl"),
        ("pydub", "pydub"),
        ("flask_cors", "flask-cors"),
        ("google.genai", "google-genai"),
        ("google.cloud.vision", "google-cloud-vision"),
        ("llama_index.llms.groq", "llama-index-llms-groq"),
        ("llama_index.vector_stores.chroma", "llama-index-vector-stores-chroma"),
        ("openinference.instrumentation.langchain", "openinference-instrumentation-langchain"),
        ("mysql.connector", "mysql-connector-python"),
        ("some_rare_module", None),
        ("google", None),
        ("clip", None),
        ("utils", None),
    ],
)
def test_providers(module: str, requirement: str | None) -> None:
    assert provider_of(module).requirement == requirement


@pytest.mark.parametrize(
    "module", ["moviepy.editor", "langchain.chains", "torchvision.transforms.functional_tensor", "rich.nothing"]
)
def test_a_submodule_that_is_missing_has_left_an_installed_package(module: str) -> None:
    found = provider_of(module)
    assert (found.requirement, found.moved) == (None, True)


def test_advice_for_names_of_other_projects() -> None:
    assert "openai/CLIP" in (provider_of("clip").advice or "")
    assert "google-generativeai" in (provider_of("google").advice or "")
