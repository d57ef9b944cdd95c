"""What a Space starts with: the app file, and what it must do to be shown."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.python_file import constant, dotted, keyword
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.core.fixes import Edit, Fix

BUILD_FOLDERS = ("dist", "build", "out", "public", "docs", "_site", "site", "www", "html", "dist/browser")
_PYTHON_NAMES = (
    "app.py",
    "main.py",
    "run.py",
    "server.py",
    "demo.py",
    "web.py",
    "webui.py",
    "gradio_app.py",
    "streamlit_app.py",
    "index.py",
)


def entry_hint(context: Context) -> tuple[str, Fix | None]:
    """Returns what to do about a missing app file: the file that was probably meant, and the fix that names it.

    Args:
        context: the Space.
    """
    wanted = context.app_file or ""
    candidates = _candidates(context, wanted)
    if not candidates:
        notebooks = [path for path in context.files if path.endswith(".ipynb")]
        if notebooks and context.sdk != "static":
            return f"A notebook is not run: save {quote(notebooks[0])} as {quote(wanted)}.", None
        return f"Send a file named {quote(wanted)}, or name the file in options.app_file.", None
    best = candidates[0]
    named_by_card = "app_file" in context.card.values
    hint = f"Name {quote(best)} in {'README.md' if named_by_card else 'options.app_file'}."
    if named_by_card or len(candidates) > 1:
        return hint, None
    return hint, Fix(f"Start with {clean(best)}", True, (), {"app_file": best})


def _candidates(context: Context, wanted: str) -> list[str]:
    if context.sdk == "static":
        built = [f"{folder}/index.html" for folder in BUILD_FOLDERS if f"{folder}/index.html" in context.files]
        pages = [path for path in context.files if "/" not in path and re.search(r"(?i)\.html?$", path)]
        named = [page for page in pages if page.lower() in ("index.html", "index.htm")]
        return named or built or (pages if len(pages) == 1 else [])
    module = {"gradio": "gradio", "streamlit": "streamlit"}.get(context.space_type)
    paths = [path for path in context.python_paths if path.count("/") < 3]
    if module is not None:
        using = [path for path in paths if (parsed := context.python(path)) is not None and module in parsed.imported]
        starting = [path for path in using if module != "gradio" or _launches(context, path)] or using
        named = [path for path in starting if path.rpartition("/")[2] in _PYTHON_NAMES]
        top = [path for path in starting if "/" not in path and not path.startswith("test")]
        return (named or top or starting)[:5] if len(named) != 1 else named
    return [path for path in paths if path in _PYTHON_NAMES and path != wanted][:5]


def _launches(context: Context, path: str) -> bool:
    parsed = context.python(path)
    return parsed is not None and any(True for _ in parsed.calls_of("launch"))


@rule(
    "app_file_empty",
    "warning",
    "entry",
    explanation="The file that the Space starts with is empty, so that nothing is shown.",
    example="app.py with 0 bytes",
)
def app_file_empty(context: Context) -> Iterator[Found]:
    """Finds an app file without content."""
    path = context.app_file
    if path is not None and path in context.files and context.given(path) and not (context.text(path) or "x").strip():
        yield Found(f"{quote(path)} is empty.", path, None, "Put the app into it.")


@rule(
    "gradio_not_launched",
    "warning",
    "entry",
    explanation="A Gradio app has to call launch(); without it the file ends and the Space stops.",
    example="app.py: demo = gr.Interface(…), and no demo.launch()",
    has_fix=True,
)
def gradio_not_launched(context: Context) -> Iterator[Found]:
    """Finds Gradio apps that are never started."""
    path = context.app_file
    if context.space_type != "gradio" or path is None or path not in context.python_paths:
        return
    parsed = context.python(path)
    if parsed is None or not parsed.is_parsed or "gradio" not in parsed.imported:
        return
    if any(
        b"launch" in other.source or b"uvicorn" in other.source
        for name in context.python_paths
        if (other := context.python(name))
    ):
        return
    names = [
        target.id
        for node in (parsed.tree.body if parsed.tree is not None else ())
        for value, target in _assigned(node)
        if re.search(r"(?:^|\.)(?:Interface|Blocks|ChatInterface|TabbedInterface|load)$", value)
    ]
    fix = None
    if len(set(names)) == 1:
        fix = Fix(
            f"Call {clean(names[0])}.launch()", True, (Edit(path, "append_line", None, None, f"{names[0]}.launch()"),)
        )
    yield Found(
        f"{quote(path)} makes a Gradio app, but never calls launch().", path, None, "Call launch() at the end.", {}, fix
    )


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.Name]]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        if isinstance(node.value, ast.Call):
            yield dotted(node.value.func), node.targets[0]
    elif isinstance(node, ast.With):
        for item in node.items:
            if isinstance(item.context_expr, ast.Call) and isinstance(item.optional_vars, ast.Name):
                yield dotted(item.context_expr.func), item.optional_vars


@rule(
    "gradio_share",
    "info",
    "entry",
    explanation="share=True opens a tunnel from one's own computer; a Space has an address already and ignores it.",
    example="demo.launch(share=True)",
    has_fix=True,
)
def gradio_share(context: Context) -> Iterator[Found]:
    """Finds apps that ask for a tunnel."""
    path = context.app_file
    if context.space_type != "gradio" or path is None or path not in context.python_paths:
        return
    parsed = context.python(path)
    for call in parsed.calls_of("launch") if parsed is not None else ():
        if constant(keyword(call, "share")) is True and parsed is not None:
            line = parsed.line(call.lineno)
            fix = None
            if "share=True" in line:
                fix = Fix("Turn it off", False, (Edit(path, "replace", call.lineno, "share=True", "share=False"),))
            yield Found(
                f"{quote(path)} asks for a tunnel with share=True, which a Space does not need.",
                path,
                call.lineno,
                "Take share=True out.",
                {},
                fix,
            )


@rule(
    "zerogpu_not_gradio",
    "error",
    "entry",
    explanation="ZeroGPU runs Gradio Spaces only (Hub documentation, ZeroGPU).",
    example="type docker with hardware zero-a10g",
)
def zerogpu_not_gradio(context: Context) -> Iterator[Found]:
    """Finds ZeroGPU for other SDKs."""
    if context.hardware == "zero-a10g" and context.sdk != "gradio":
        yield Found(
            f"ZeroGPU runs Gradio Spaces only, and this is a {context.sdk} Space.",
            "hardware",
            None,
            "Choose other hardware, such as cpu-basic or t4-small, or the type gradio.",
        )


@rule(
    "zerogpu_without_function",
    "warning",
    "entry",
    explanation="On ZeroGPU a Space must have at least one function with @spaces.GPU; else it stops with an error.",
    example="hardware zero-a10g, and no @spaces.GPU",
)
def zerogpu_without_function(context: Context) -> Iterator[Found]:
    """Finds apps on ZeroGPU that never ask for it."""
    if context.hardware != "zero-a10g" or context.sdk != "gradio":
        return
    if not any(
        b"spaces" in parsed.source and b"GPU" in parsed.source
        for path in context.python_paths
        if (parsed := context.python(path))
    ):
        yield Found(
            "No function of the app has @spaces.GPU, which ZeroGPU requires.",
            context.app_file,
            None,
            "Put import spaces at the top and @spaces.GPU on the function that computes.",
        )


@rule(
    "streamlit_config_broken",
    "warning",
    "entry",
    explanation="Streamlit does not start with a config.toml that is no TOML.",
    example=".streamlit/config.toml: theme = dark",
)
def streamlit_config_broken(context: Context) -> Iterator[Found]:
    """Finds configuration files that are no TOML."""
    for path in (".streamlit/config.toml", "pyproject.toml"):
        text = context.text(path) if context.given(path) else None
        if text is None:
            continue
        try:
            tomllib.loads(text)
        except RecursionError:
            continue
        except tomllib.TOMLDecodeError as problem:
            found = re.search(r"at line (\d+)", str(problem))
            yield Found(
                f"{quote(path)} is not valid TOML.", path, int(found[1]) if found else None, "Correct the file."
            )
