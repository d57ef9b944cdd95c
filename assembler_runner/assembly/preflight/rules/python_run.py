"""Python files: paths, addresses and calls that do not work in a Space."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.python_file import constant, dotted, keyword
from assembler_runner.assembly.preflight.python_fixes import given_files, swap
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.rules.docker_start import started_python
from assembler_runner.core.fixes import Fix

_WINDOWS_PATH = re.compile(r"^[A-Za-z]:[\\/](?![\\/])|^\\\\[\w.]+\\")


_HOME_PATH = re.compile(
    r"^(?:/Users/[^/]+/|/home/(?!user/|app/|runner/|coder/|node/|jovyan/|appuser/|ubuntu/)[^/]+/)\S"
)


_LISTENERS = ("run", "launch", "serve", "run_server", "start", "listen")


# Cheap signs that a file is worth a walk through its tree.
_FILE_NAME = re.compile(rb"[\"']([^\"'\n]{1,200}\.[^\"'\n]{1,20})[\"']")
_OWN_PATH = re.compile(rb"[\"'](?:[A-Za-z]:[\\/]|/Users/|/home/|\\\\)")


def _differs(context: Context, name: bytes) -> bool:
    wanted = name.decode("utf-8", "replace").removeprefix("./")
    return wanted not in context.files and fold(wanted) in context.folded


@rule(
    "path_case",
    "warning",
    "python",
    explanation="Spaces run Linux, which tells capital letters from small ones: the file that the code names exists in "
    "another case only.",
    example='open("Data/x.csv"), and the file is data/x.csv',
    has_fix=True,
)
def path_case(context: Context) -> Iterator[Found]:
    """Finds names of files in the code that differ in case."""
    for path, parsed in given_files(context):
        if not any(_differs(context, name) for name in _FILE_NAME.findall(parsed.source)):
            continue
        for node in parsed.texts:
            text = str(node.value)
            if not 3 < len(text) < 200 or "." not in text or (" " in text.strip() and "/" not in text):
                continue
            wanted = text.removeprefix("./")
            real = context.folded.get(fold(wanted))
            if real is None or real not in context.files or wanted in context.files or wanted in context.folders:
                continue
            if wanted.lower() != real.lower() or ("/" not in wanted and "." not in wanted):
                continue
            fix = None
            if wanted in parsed.line(node.lineno):
                fix = swap(path, node.lineno, wanted, real, f"Write {clean(real)}", safe=True)
            yield Found(
                f"{quote(path)} names {quote(text)}, but the file is {quote(real)}.",
                path,
                node.lineno,
                f"Write {quote(real)}.",
                {"named": clean(text), "file": clean(real)},
                fix,
            )


@rule(
    "path_of_own_computer",
    "warning",
    "python",
    explanation="The code names a path of the computer it was written on; it does not exist in a Space.",
    example=r'open("C:\\Users\\me\\data.csv")',
)
def path_of_own_computer(context: Context) -> Iterator[Found]:
    """Finds absolute paths of the sender's computer."""
    for path, parsed in given_files(context):
        if not _OWN_PATH.search(parsed.source):
            continue
        for node in parsed.texts:
            text = str(node.value)
            if len(text) < 300 and "\n" not in text and (_WINDOWS_PATH.match(text) or _HOME_PATH.match(text)):
                yield Found(
                    f"{quote(path)} names {quote(text)}, a path of your own computer.",
                    path,
                    node.lineno,
                    "Send the file, and name it by its path in the Space.",
                    {"path": clean(text)},
                )
                break


@rule(
    "debug_mode",
    "warning",
    "python",
    explanation="The debugger of Flask and Dash lets visitors of the page run code when an error occurs.",
    example="app.run(host='0.0.0.0', debug=True)",
    has_fix=True,
)
def debug_mode(context: Context) -> Iterator[Found]:
    """Finds servers that start with a debugger."""
    path = context.app_file or "app.py"
    parsed = context.python(path) if path in context.python_paths else None
    if parsed is None or not parsed.imported & {"flask", "dash"}:
        return
    for call in parsed.calls_of("run", "run_server"):
        if constant(keyword(call, "debug")) is True:
            line = parsed.line(call.lineno)
            fix = (
                swap(path, call.lineno, "debug=True", "debug=False", "Turn it off", safe=False)
                if "debug=True" in line
                else None
            )
            yield Found(
                f"{quote(path)} starts the server with its debugger.", path, call.lineno, "Write debug=False.", {}, fix
            )


@rule(
    "listens_locally",
    "warning",
    "python",
    explanation="A server on 127.0.0.1 can be reached from inside of its container only; the target asks from outside.",
    example='demo.launch(server_name="127.0.0.1")',
    has_fix=True,
)
def listens_locally(context: Context) -> Iterator[Found]:
    """Finds servers that listen on the local address only."""
    path = context.app_file or started_python(context)
    if path is None or path not in context.python_paths:
        return
    parsed = context.python(path)
    for call in parsed.calls_of(*_LISTENERS) if parsed is not None else ():
        for name in ("server_name", "host", "address"):
            value = constant(keyword(call, name))
            if value in ("127.0.0.1", "localhost"):
                line = parsed.line(call.lineno) if parsed is not None else ""
                fix = None
                if str(value) in line:
                    fix = swap(path, call.lineno, str(value), "0.0.0.0", "Listen on all addresses", safe=True)  # noqa: S104 - advice
                yield Found(
                    f"{quote(path)} listens on {value} only, where the target does not reach it.",
                    path,
                    call.lineno,
                    f'Write {name}="0.0.0.0".',
                    {"host": str(value)},
                    fix,
                )


@rule(
    "listens_on_other_port",
    "warning",
    "python",
    explanation="The code listens on another port than the one that the target asks on.",
    example="sdk: gradio with demo.launch(server_port=8080)",
    has_fix=True,
)
def listens_on_other_port(context: Context) -> Iterator[Found]:
    """Finds servers on another port than the target asks on."""
    path = context.app_file or started_python(context)
    if path is None or path not in context.python_paths or context.space_type == "streamlit":
        return
    parsed = context.python(path)
    framework = parsed is not None and bool(
        parsed.imported & {"gradio", "flask", "uvicorn", "dash", "nicegui", "panel"}
    )
    if parsed is None or not framework or (context.dockerfile is not None and context.dockerfile.exposed):
        return
    for call in parsed.calls_of("launch", "run", "run_server"):
        value = constant(keyword(call, "server_port" if "gradio" in parsed.imported else "port"))
        if not isinstance(value, int) or isinstance(value, bool) or value == context.port:
            continue
        if context.sdk == "docker" and not ("app_port" in context.options or context.dockerfile is not None):
            continue
        options = {"app_port": value} if context.sdk == "docker" else {}
        fix = (
            Fix(f"Set app_port to {value}", True, (), options)
            if options and "app_port" not in context.card.values
            else None
        )
        if not options and str(value) in parsed.line(call.lineno):
            fix = swap(path, call.lineno, str(value), str(context.port), f"Listen on {context.port}", safe=True)
        yield Found(
            f"{quote(path)} listens on port {value}, but the Space is asked for on port {context.port}.",
            path,
            call.lineno,
            f"Listen on port {context.port}" + (f", or set app_port to {value}." if options else "."),
            {"port": value, "asked": context.port},
            fix,
        )


_MAY_BE_GONE = re.compile(rb"\b(?:inputs|outputs|Box|Variable|style)\b")
_GONE_IN_4 = {"gr.inputs": "gr", "gr.outputs": "gr", "gr.Box": "gr.Group", "gr.Variable": "gr.State"}


@rule(
    "gradio_removed",
    "warning",
    "python",
    explanation="Parts of Gradio 3 are gone since version 4: gr.inputs, gr.outputs, gr.Box, gr.Variable, .style().",
    example="sdk_version: 5.49.1 with gr.inputs.Textbox()",
    has_fix=True,
)
def gradio_removed(context: Context) -> Iterator[Found]:
    """Finds parts of Gradio that the version of the Space does not have."""
    version = context.card.text_of("sdk_version") or str(context.options.get("sdk_version") or "")
    if context.sdk != "gradio" or not re.match(r"[4-9]\.|\d\d", version):
        return
    for path, parsed in given_files(context):
        if "gradio" not in parsed.imported or not _MAY_BE_GONE.search(parsed.source):
            continue
        for node in parsed.nodes(ast.Attribute):
            name = dotted(node).replace("gradio.", "gr.", 1)
            style = (
                node.attr == "style"
                and isinstance(node.value, ast.Call)
                and dotted(node.value.func).startswith(("gr.", "gradio."))
            )
            if name not in _GONE_IN_4 and not style:
                continue
            shown = name or ".style()"
            fix, line = None, parsed.line(node.lineno)
            if name in ("gr.Box", "gr.Variable", "gr.inputs", "gr.outputs") and dotted(node) in line:
                fix = swap(path, node.lineno, dotted(node), _GONE_IN_4[name], f"Write {_GONE_IN_4[name]}", safe=False)
            yield Found(
                f"{quote(path)} uses {shown}, which Gradio {clean(version)} does not have.",
                path,
                node.lineno,
                "Change the code, or set sdk_version to 3.50.2.",
                {"name": shown, "version": clean(version)},
                fix,
            )
            break
