"""Running all rules: what may be allowed, what is fixed, what hostile input costs."""

# ruff: noqa: E501 - whole files as texts on one line each

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembler_runner.assembly.preflight.check import allowed, apply_safe_fixes, check, combined, with_fix, wrong_codes
from assembler_runner.assembly.preflight.rules.docker_start import dockerfile_port
from assembler_runner.assembly.preflight.rules.requirements_packages import gradio_version
from assembler_runner.core.errors import Finding
from assembler_runner.core.fixes import Edit, Fix, FixDoesNotFit
from assembler_runner.files.tree import SpaceFile
from tests.assembly.preflight.support import SECRETS, context_of

LEAKING = {"files": {"app.py": "T = '{TOKEN:hf}'\n"}}


def test_a_secret_may_be_allowed_and_is_then_a_warning() -> None:
    findings = check(context_of(LEAKING))
    assert [finding.code for finding in findings if finding.severity == "error"] == ["secret_in_file"]
    after, passed = allowed(findings, ["secret_in_file"])
    assert [finding.code for finding in passed] == ["secret_in_file"]
    assert not any(finding.severity == "error" for finding in after)
    assert allowed(findings, [])[1] == []


def test_codes_that_may_not_be_allowed_are_refused_with_those_that_may() -> None:
    findings = wrong_codes(["secret_in_file", "no_app_file", "x" * 300])
    assert [finding.path for finding in findings] == ["allow[1]", "allow[2]"]
    assert all("secret_in_file" in (finding.hint or "") for finding in findings)
    assert all(len(finding.message) < 150 for finding in findings)


def test_several_safe_fixes_are_applied_at_once_and_unsafe_ones_are_not() -> None:
    case = {
        "files": {
            "requirements.txt": "pip install numpy\nsqlite3\nnumpy=1.26.4=py311_0\npandas\n",
            "README.md": "---\npinned: 'yes'\ncolorTo: teal\n---\n",
        }
    }
    fixed = apply_safe_fixes(context_of(case))
    assert fixed.files["requirements.txt"].content == b"numpy\nnumpy==1.26.4\npandas\n"
    assert fixed.files["requirements.txt"].origin == "fixed"
    assert fixed.files["README.md"].content == b"---\npinned: true\ncolorTo: teal\n---\n"
    assert fixed.files["app.py"].origin == "given"
    assert {finding.code for finding in fixed.done} >= {"requirement_pip_command", "requirement_stdlib", "card_boolean"}


def test_fixes_of_options_and_names_are_reported() -> None:
    case = {
        "files": {"dockerfile": "FROM python:3.12\nEXPOSE 8000\nCMD python app.py\n"},
        "type": "docker",
        "bare": True,
    }
    fixed = apply_safe_fixes(context_of(case))
    assert fixed.deleted == ("dockerfile",)
    assert "Dockerfile" in fixed.files
    assert fixed.options == {"app_port": 8000}


def test_nothing_to_fix_changes_nothing() -> None:
    context = context_of({"files": {}})
    fixed = apply_safe_fixes(context)
    assert dict(fixed.files) == dict(context.files)
    assert (fixed.options, fixed.done, fixed.deleted) == ({}, (), ())


def test_a_fix_that_does_not_fit_the_files_raises() -> None:
    files = context_of({"files": {"requirements.txt": "numpy\n"}}).files
    fix = Fix("x", True, (Edit("requirements.txt", "replace", 1, "pandas", "scipy"),))
    with pytest.raises(FixDoesNotFit):
        with_fix(files, fix)


def test_a_binary_file_can_be_left_out() -> None:
    files = context_of({"files": {"key.p12": {"base64": "AAECA/8="}}}).files
    assert "key.p12" not in with_fix(files, Fix("x", False, (Edit("key.p12", "delete"),)))


def test_the_rules_findings_count_where_others_have_the_same() -> None:
    own = [Finding("no_app_file", "New.", path="app.py")]
    others = [Finding("no_app_file", "Old.", path="app.py"), Finding("sdk_mismatch", "Kept.")]
    assert [finding.message for finding in combined(others, own)] == ["Kept.", "New."]


@pytest.mark.parametrize(
    ("dockerfile", "port"),
    [
        ("FROM x\nEXPOSE 80 7860\n", 7860),
        ("FROM x\nEXPOSE 8000\nCMD run\n", 8000),
        ("FROM x\nARG PORT=5000\nEXPOSE ${PORT}\nCMD run\n", 5000),
        ("FROM a AS b\nEXPOSE 5173\nFROM x\nCMD run\n", None),
        ("FROM x\nCMD python web.py\n", 5000),
        ("FROM x\nCMD run\n", None),
    ],
)
def test_the_port_of_a_dockerfile_is_known(dockerfile: str, port: int | None) -> None:
    web = "from flask import Flask\napp = Flask(__name__)\napp.run(host='0.0.0.0', port=5000)\n"
    context = context_of({"files": {"Dockerfile": dockerfile, "web.py": web}, "type": "docker"})
    assert dockerfile_port(context) == port


@pytest.mark.parametrize(
    ("line", "version"),
    [("gradio==4.44.1", "4.44.1"), ("gradio[oauth]==5.0.0b3", "5.0.0b3"), ("gradio<5", "4.44.1"), ("gradio>=4", "6.31.0"),
     ("gradio", None), ("gradio_client==1.0", None), ("gradio @ git+https://github.com/gradio-app/gradio", None)],
)  # fmt: skip
def test_the_gradio_version_of_the_requirements_is_known(line: str, version: str | None) -> None:
    assert gradio_version(context_of({"files": {"requirements.txt": f"{line}\n"}})) == version


TEXTS = st.text(
    st.one_of(st.sampled_from("#-=:'\"<>[]{}().,@/\\$\n\r\t abcFROMCOPYpip"), st.characters()), max_size=300
)
PATHS = st.sampled_from(
    [
        "app.py",
        "README.md",
        "Dockerfile",
        "requirements.txt",
        "packages.txt",
        "index.html",
        "package.json",
        ".env",
        ".dockerignore",
        "run.sh",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(PATHS, TEXTS, max_size=5), st.sampled_from(["gradio", "streamlit", "docker", "static"]), TEXTS)
def test_nothing_that_is_sent_raises(texts: dict[str, str], space_type: str, parameter: str) -> None:
    context = context_of({"files": {}, "type": space_type, "bare": True, "parameters": {"x": [parameter]}})
    files = {path: SpaceFile(path, text.encode("utf-8", "replace"), "given") for path, text in texts.items()}
    context = replace(context, files=files)
    for finding in check(context):
        assert finding.to_json()["code"] == finding.code
    apply_safe_fixes(context)


@pytest.mark.parametrize("text", ["hf_" * 300_000, "api_key = " * 90_000, "<img src='" + "a" * 900_000, "a: b\n" * 180_000, "eyJ." * 200_000,
                                  "x://u:p" * 130_000, "-----BEGIN PRIVATE KEY-----" * 33_000, "[" * 900_000, "FROM a\n" * 130_000])  # fmt: skip
@pytest.mark.parametrize("path", ["app.py", "README.md", "requirements.txt", "Dockerfile", "index.html"])
def test_a_long_hostile_file_costs_little(text: str, path: str) -> None:
    space_type = {"Dockerfile": "docker", "index.html": "static"}.get(path, "gradio")
    context = replace(
        context_of({"files": {}, "type": space_type, "bare": True}),
        files={path: SpaceFile(path, text.encode(), "given")},
    )
    began = time.process_time()
    check(context)
    # Linear work takes well below a second; what grows with the square would take minutes.
    assert time.process_time() - began < 20


def test_no_value_of_a_secret_is_in_what_is_shown() -> None:
    names: dict[str, Any] = {f"f{number}.txt": mark for number, mark in enumerate(SECRETS)}
    shown = str([finding.to_json() for finding in check(context_of({"files": names}))])
    assert not any(secret[8:30] in shown for secret in SECRETS.values())
