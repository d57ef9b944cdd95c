"""Every rule finds what its cases show, is silent about what only looks like it, and its fixes make it go away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from assembler_runner.assembly.preflight.catalogue import RULES, as_json, as_markdown
from assembler_runner.assembly.preflight.check import apply_safe_fixes, check, with_fix
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.core.errors import Finding
from assembler_runner.core.fixes import Fix
from tests.assembly.preflight.support import SECRETS, all_cases, context_of

ALL = list(all_cases())
FOUND = [(code, case, kind) for code, mode, case, kind in ALL if mode == "found"]
SILENT = [(code, case, kind) for code, mode, case, kind in ALL if mode == "silent"]
CHECKED = {code for code, rule in RULES.items() if rule.check is not None}
# Their inputs are too large for a case; tests below make them.
TOO_LARGE = {"space_too_large", "folder_crowded"}


def names(cases: list[tuple[str, dict[str, Any], str]]) -> list[str]:
    return [f"{code}-{number}" for number, (code, _, _) in enumerate(cases)]


def of_code(context: Context, code: str) -> list[Finding]:
    return [found for found in check(context) if found.code == code]


@pytest.mark.parametrize(("code", "case", "default_type"), FOUND, ids=names(FOUND))
def test_it_is_found(code: str, case: dict[str, Any], default_type: str) -> None:
    found = of_code(context_of(case, default_type), code)
    assert found
    wanted = {key: case[key] for key in ("line", "severity", "path") if key in case}
    assert any(all(getattr(finding, key) == value for key, value in wanted.items()) for finding in found), found


@pytest.mark.parametrize(("code", "case", "default_type"), SILENT, ids=names(SILENT))
def test_what_looks_like_it_is_not(code: str, case: dict[str, Any], default_type: str) -> None:
    assert of_code(context_of(case, default_type), code) == []


@pytest.mark.parametrize(("code", "case", "default_type"), FOUND, ids=names(FOUND))
def test_a_fix_makes_its_finding_go_away(code: str, case: dict[str, Any], default_type: str) -> None:
    context = context_of(case, default_type)
    for finding in of_code(context, code):
        if finding.fix is None:
            continue
        fixed = fixed_by(context, finding.fix)
        left = of_code(fixed, code)
        assert not any((other.path, other.message) == (finding.path, finding.message) for other in left), left
        assert len(left) < len(of_code(context, code))


def fixed_by(context: Context, fix: Fix) -> Context:
    return replace(context, files=with_fix(context.files, fix), options={**context.options, **fix.options})


@pytest.mark.parametrize(("code", "case", "default_type"), FOUND, ids=names(FOUND))
def test_safe_fixes_add_no_error(code: str, case: dict[str, Any], default_type: str) -> None:
    context = context_of(case, default_type)
    fixed = apply_safe_fixes(context)
    after = check(replace(context, files=fixed.files, options={**context.options, **fixed.options}))
    before = {finding.code for finding in check(context) if finding.severity == "error"}
    assert {finding.code for finding in after if finding.severity == "error"} <= before
    assert not any(finding.fix is not None and finding.fix.safe for finding in after)


@pytest.mark.parametrize(("code", "case", "default_type"), FOUND, ids=names(FOUND))
def test_what_is_shown_is_short_clean_and_holds_no_secret(code: str, case: dict[str, Any], default_type: str) -> None:
    for finding in of_code(context_of(case, default_type), code):
        shown = f"{finding.message} {finding.hint} {finding.values} {finding.path}"
        assert not any(secret[:20] in shown for secret in SECRETS.values())
        assert finding.message.endswith(".") and finding.message[0] != " "
        assert not any(ord(character) < 32 for character in shown)
        assert len(finding.message) < 400


def test_every_rule_has_cases_of_both_kinds() -> None:
    assert {code for code, _, _ in FOUND} | TOO_LARGE == CHECKED
    assert {code for code, _, _ in SILENT} == CHECKED


def test_rules_that_declare_a_fix_have_one_and_others_none() -> None:
    with_fixes = {
        code
        for code, case, kind in FOUND
        for finding in of_code(context_of(case, kind), code)
        if finding.fix is not None
    }
    assert with_fixes == {code for code, rule in RULES.items() if rule.has_fix}


def test_there_are_enough_codes() -> None:
    assert len(CHECKED) >= 80


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_a_declaration_says_what_it_is_about(rule: Any) -> None:
    assert rule.explanation.endswith(".") and rule.example
    assert "\n" not in rule.explanation + rule.example


def test_the_catalogue_lists_every_code_once() -> None:
    listed = [entry["code"] for entry in as_json()]
    assert sorted(listed) == sorted(RULES)
    page = as_markdown()
    assert all(f"| `{code}` |" in page for code in RULES)


def test_only_secrets_and_what_the_hub_decides_may_be_allowed() -> None:
    of_the_hub = {"plan_required", "payment_method_required", "namespace_not_writable", "token_only_reads"}
    allowable = {rule.code for rule in RULES.values() if rule.allowable}
    assert allowable == {"secret_in_file", "secret_in_variable"} | of_the_hub
