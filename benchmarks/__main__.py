"""Runs benchmarks: python -m benchmarks [NAME …] [--quick]."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from benchmarks import measuring, report
from tests.support import client_env

NAMES = ("publish", "others", "accept", "drain", "overhead", "assemble", "start", "growth", "pages", "apps", "capacity")


def main() -> None:
    """Runs the named benchmarks, all if none is named, and writes results, pictures and the page."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all if left out")
    parser.add_argument("--quick", action="store_true", help="the smallest form; shows that it runs, measures nothing")
    parser.add_argument("--folder", type=Path, help="where results are written; else benchmarks/results and the page")
    parser.add_argument("--page", action="store_true", help="only write the page from the results that are there")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}")
    client_env.settle()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    for name in () if chosen.page else chosen.names or NAMES:
        result = importlib.import_module(f"benchmarks.{name}").run(chosen.quick)
        print(report.as_text(result), flush=True)
        if chosen.folder or not chosen.quick:
            folder = chosen.folder or measuring.RESULTS
            measuring.save(result, folder)
            report.draw(result, folder)
    if not chosen.folder and (chosen.page or not chosen.quick):
        report.write_pages()


if __name__ == "__main__":
    main()
