"""The pure core: checking and assembling, and putting parameters into Python."""

from __future__ import annotations

import hashlib
from typing import Any

from assembler_runner.assembly.assemble import assemble
from assembler_runner.assembly.python_source import insert_parameters
from assembler_runner.assembly.registry import Registry
from assembler_runner.core.settings import load
from benchmarks.measuring import Result, in_turn, timed

WHAT = (
    "Milliseconds to validate a request and assemble its tree, without HTTP and database, and the resulting MB/s. "
    "`insert parameters` inserts `PARAMS` into one Python file. Opponent: SHA-256 over the same bytes, the minimum "
    "for a content-addressed store."
)


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    counts, large, rounds = ([1, 3], 20_000, 1) if quick else ([1, 50, 500], 10_000_000, 5)
    registry = Registry()
    registry.load_folders(load({}).plugin_folders)
    result = Result("assemble", WHAT)
    for kind in ("static", "gradio"):
        for count in counts:
            result.rows.append(_row(registry, kind, f"{count} files", _files(kind, count, 4000), rounds))
    result.rows.append(_row(registry, "static", f"{large / 1e6:g} MB", _files("static", 10, large // 10), rounds))
    for size in (large // 1000, large // 100, large // 10):
        result.rows.append(_insertion(size, rounds))
    return result


def _files(kind: str, count: int, size: int) -> dict[str, bytes]:
    if kind == "static":
        files = {f"pages/{number}.html": b"<p>Hello</p>\n" * (size // 13) for number in range(count - 1)}
        return {"index.html": b"<h1>Hello</h1>\n" * (size // 15), **files}
    files = {f"parts/part_{number}.py": _python(size) for number in range(count - 1)}
    return {"app.py": _python(size), **files}


def _python(size: int) -> bytes:
    head = b'"""An app."""\n\nimport gradio as gr\n\n'
    function = b"def double_%d(x):\n    # comment\n    return {'value': x * 2, 'text': f'{x} times two'}\n\n\n"
    return head + b"".join(function % number for number in range(max(1, size // len(function))))


def _row(registry: Registry, kind: str, what: str, files: dict[str, bytes], rounds: int) -> dict[str, Any]:
    plugin = registry.get(kind)
    assert plugin is not None

    def work() -> None:
        made = assemble(plugin, files, parameters={"user": "x", "numbers": [1, 2, 3]})
        assert not made.errors, made.errors

    return _measured(f"{kind}, {what}", work, list(files.values()), rounds)


def _insertion(size: int, rounds: int) -> dict[str, Any]:
    source = _python(size)

    def work() -> None:
        assert b"PARAMS" in insert_parameters(source, {"user": "x"})

    return _measured(f"insert parameters, {size / 1e6:g} MB", work, [source], rounds)


def _measured(what: str, work: Any, contents: list[bytes], rounds: int) -> dict[str, Any]:
    size = sum(map(len, contents))

    def hashed() -> None:
        for content in contents:
            hashlib.sha256(content).hexdigest()

    runs = in_turn({"service": lambda: timed(work), "sha256": lambda: timed(hashed)}, rounds)
    seconds, floor = runs["service"].median, runs["sha256"].median
    row: dict[str, Any] = {"what": what, "MB": size / 1e6, "ms": seconds * 1000, "MB/s": size / 1e6 / seconds}
    return row | {"SHA-256 ms": floor * 1000, "÷ SHA-256": seconds / floor}
