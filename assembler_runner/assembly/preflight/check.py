"""Runs all rules over the files of a Space, and what a caller decides about their findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from assembler_runner.assembly.preflight.catalogue import rules
from assembler_runner.assembly.preflight.context import MAX_TEXT_BYTES, Context
from assembler_runner.assembly.preflight.declaration import RULES
from assembler_runner.core.errors import Finding
from assembler_runner.core.fixes import Fix, FixDoesNotFit, apply
from assembler_runner.files.tree import SpaceFile

MAX_FINDINGS_PER_RULE = 50
MAX_ROUNDS = 5

_ORDER = {"error": 0, "warning": 1, "info": 2}


def check(context: Context) -> list[Finding]:
    """Returns everything the rules find, errors first.

    Args:
        context: the files and settings of a Space.
    """
    found: list[Finding] = []
    for rule in rules():
        if rule.check is not None:
            found += [rule.finding(at) for at in islice(rule.check(context), MAX_FINDINGS_PER_RULE)]
    return sorted(found, key=lambda finding: (_ORDER[finding.severity], finding.path or "", finding.line or 0))


def combined(others: Iterable[Finding], own: Iterable[Finding]) -> list[Finding]:
    """Joins findings of other parts with those of the rules; where both have the same code and path the rules' counts.

    Args:
        others: findings of the assembling and of the plugin.
        own: findings of :func:`check`.
    """
    rules = list(own)
    known = {(finding.code, finding.path) for finding in rules}
    return [*(finding for finding in others if (finding.code, finding.path) not in known), *rules]


def wrong_codes(allow: Iterable[str]) -> list[Finding]:
    """Checks the field `allow`: only errors that may be overridden can be named.

    Args:
        allow: codes as given.
    Returns:
        One finding per code that is unknown or may not be allowed.
    """
    findings = []
    allowable = sorted(rule.code for rule in RULES.values() if rule.allowable)
    for number, code in enumerate(allow):
        if code in allowable:
            continue
        known = code in RULES
        message = f"The code {code[:80]!r} {'may not be allowed' if known else 'is not known'}."
        hint = f"These may be allowed: {', '.join(allowable)}."
        findings.append(Finding("invalid_allow", message, path=f"allow[{number}]", hint=hint))
    return findings


def allowed(findings: Iterable[Finding], allow: Collection[str]) -> tuple[list[Finding], list[Finding]]:
    """Lets errors pass that the caller allows: they become warnings.

    Args:
        findings: all findings.
        allow: codes that may pass.
    Returns:
        The findings afterwards, and those that passed, for the audit log.
    """
    passed = [finding for finding in findings if _passes(finding, allow)]
    return [
        replace(finding, severity="warning") if _passes(finding, allow) else finding for finding in findings
    ], passed


def _passes(finding: Finding, allow: Collection[str]) -> bool:
    rule = RULES.get(finding.code)
    return finding.severity == "error" and finding.code in allow and rule is not None and rule.allowable


@dataclass(frozen=True)
class Fixed:
    """What became of files whose safe fixes were applied.

    Args:
        files: path → file; those that were changed have the origin `fixed`.
        options: options that the fixes set.
        done: the findings whose fix was applied.
        deleted: paths that are gone.
    """

    files: Mapping[str, SpaceFile]
    options: Mapping[str, object] = field(default_factory=dict)
    done: tuple[Finding, ...] = ()
    deleted: tuple[str, ...] = ()


def apply_safe_fixes(context: Context) -> Fixed:
    """Applies every safe fix, one after the other, until none is left.

    Each round checks the files again, so that no fix meets lines that another one has moved.

    Args:
        context: the files and settings of a Space.
    Returns:
        The files and options afterwards.
    Raises:
        FixDoesNotFit: a fix of this service does not fit the files it was made for.
    """
    files, options, done = dict(context.files), dict(context.options), []
    for _ in range(MAX_ROUNDS):
        chosen = _together(check(replace(context, files=files, options=options)), options)
        if not chosen:
            break
        fixes = [finding.fix for finding in chosen if finding.fix is not None]
        files = with_fix(files, Fix("", True, tuple(edit for fix in fixes for edit in fix.edits)))
        for fix in fixes:
            options |= fix.options
        done += chosen
    deleted = tuple(sorted(set(context.files) - set(files)))
    set_by_fixes = {name: value for name, value in options.items() if context.options.get(name) != value}
    return Fixed(files, set_by_fixes, tuple(done), deleted)


def _together(findings: Iterable[Finding], options: Mapping[str, object]) -> list[Finding]:
    """Returns the findings whose safe fixes can be applied at once: no two change the same line, file or option."""
    chosen: list[Finding] = []
    lines: set[tuple[str, int | None]] = set()
    paths: set[str] = set()
    names: set[str] = set()
    for finding in findings:
        fix = finding.fix
        if fix is None or not fix.safe:
            continue
        places = {(edit.path, edit.line) for edit in fix.edits}
        whole = {edit.path for edit in fix.edits if edit.line is None and edit.action != "append_line"}
        clash = places & lines or {path for path, _ in places} & paths or whole & {path for path, _ in lines}
        without_effect = not fix.edits and all(options.get(name) == value for name, value in fix.options.items())
        if clash or names & set(fix.options) or without_effect:
            continue
        chosen.append(finding)
        lines |= places
        paths |= whole
        names |= set(fix.options)
    return chosen


def with_fix(files: Mapping[str, SpaceFile], fix: Fix) -> dict[str, SpaceFile]:
    """Returns the files after one fix.

    Args:
        files: path → file.
        fix: the fix; its options are left to the caller.
    Raises:
        FixDoesNotFit: the files are not those that it was made for.
    """
    paths = {edit.path for edit in fix.edits}
    whole = {edit.path for edit in fix.edits if edit.action == "delete" and edit.line is None}
    for path in sorted(paths - whole):
        if path in files and files[path].size > MAX_TEXT_BYTES:
            raise FixDoesNotFit(path, "the file is too large")
    contents: dict[str, str | bytes] = {
        path: b"" if path in whole and paths == whole else files[path].content for path in paths if path in files
    }
    changed = apply(contents, fix)
    left = {path: file for path, file in files.items() if path not in paths or path in changed}
    for path, content in changed.items():
        data = content.encode() if isinstance(content, str) else content
        if path not in files or files[path].content != data:
            left[path] = SpaceFile(path, data, "fixed")
    return left
