"""Logs with their right causes, and how many of them are found: python -m tests.runtime.corpus [FOLDER].

A folder holds text files as tests/runtime/logs, or JSON files with `input` (the arguments of `diagnose`, `log` as
lines) and `expected` (`code_any_of`, `must_match` and `must_not_match`: regular expressions on message and hint).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assembler_runner.runtime.causes import Problem, diagnose, diagnose_logs

LOGS = Path(__file__).resolve().parent / "logs"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "how-causes-are-found.md"
RESULTS = ("right", "partly", "general", "unknown", "wrong")
GENERAL = frozenset(
    {
        "exception",
        "wheel_failed",
        "dockerfile_command_failed",
        "app_ended",
        "npm_failed",
        "app_failed_to_load",
        "process_failed",
    }
)


@dataclass
class Case:
    """One file: `name: value` lines, an empty line, then the logs, each below `--- build` or `--- run`."""

    meta: dict[str, str]
    logs: dict[str, list[str]]

    @property
    def files(self) -> list[str]:
        """Paths of the Space's files."""
        return [name for name in self.meta.get("files", "").split(", ") if name]


def read_case(path: Path) -> Case:
    """Returns one case of tests/runtime/logs."""
    head, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
    meta = dict(line.split(": ", 1) for line in head.splitlines())
    logs: dict[str, list[str]] = {}
    for part in re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]:
        kind, _, text = part.partition("\n")
        logs[kind] = text.splitlines()
    return Case(meta, logs)


def result_of(found: Problem, case: Case) -> str:
    """Returns how good an answer to a case of tests/runtime/logs is."""
    code = case.meta["expect"].partition(" ")[0]
    if found.code != code:
        return "unknown" if found.code == "unknown" else "general" if found.code in GENERAL else "wrong"
    helpful = case.meta.get("hint", "") in found.hint and case.meta.get("message", "") in found.message
    return "right" if helpful else "partly"


def result_of_json(found: Problem, expected: Mapping[str, Any]) -> str:
    """Returns how good an answer to a case in JSON is."""
    answer = f"{found.message} {found.hint}"
    forbidden = any(re.search(pattern, answer) for pattern in expected.get("must_not_match", ()))
    if found.code not in expected["code_any_of"] or forbidden:
        if found.code == "unknown":
            return "unknown"
        return "general" if found.code in GENERAL and not forbidden else "wrong"
    return "right" if all(re.search(pattern, answer) for pattern in expected.get("must_match", ())) else "partly"


def results(folder: Path) -> Iterator[tuple[str, str, Problem]]:
    """Yields name, result and answer of each case of a folder."""
    for path in sorted(folder.glob("*.txt")):
        case = read_case(path)
        found = diagnose_logs(case.logs, stage=case.meta["stage"], said=case.meta.get("said"), files=case.files)
        yield path.stem, result_of(found, case), found
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        given = dict(data["input"])
        found = diagnose(given.pop("log"), given.pop("kind"), **given)
        yield path.stem, result_of_json(found, data["expected"]), found


def is_held_out(name: str) -> bool:
    """Whether a case belongs to the quarter that is kept aside while rules are written."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 4 == 0


def table(counts: Mapping[str, Counter[str]]) -> str:
    """Returns the numbers as a Markdown table."""
    rows = [f"| Logs | Number | {' | '.join(one.capitalize() for one in RESULTS)} |", f"| --- {'| --- ' * 6}|"]
    for name, found in counts.items():
        total = sum(found.values())
        cells = (f"{found[one]} ({100 * found[one] / max(total, 1):.0f} %)" for one in RESULTS)
        rows.append(f"| {name} | {total} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the numbers of a folder; returns 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=LOGS)
    parser.add_argument("--page", type=Path, help="write the numbers into this page, between its marks")
    parser.add_argument("--quiet", action="store_true", help="only the numbers, not each answer that is not right")
    chosen = parser.parse_args(arguments)
    counts: dict[str, Counter[str]] = {"all": Counter(), "held out": Counter()}
    for name, result, found in results(chosen.folder):
        counts["all"][result] += 1
        if is_held_out(name):
            counts["held out"][result] += 1
        if result != "right" and not chosen.quiet:
            print(f"{result}: {name}: {found.code} ({found.rule}): {found.message} {found.hint}")
    if chosen.folder == LOGS:
        del counts["held out"]
    print(table(counts))
    if chosen.page:
        write(chosen.page, table(counts))
    return 1 if counts["all"]["wrong"] else 0


BEGIN, END = "<!-- numbers: written by invoke causes -->", "<!-- end of the numbers -->"


def write(page: Path, text: str) -> None:
    """Puts the numbers into a page, between its marks."""
    old = page.read_text(encoding="utf-8")
    before, _, rest = old.partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
