"""Why the Hub does not reach an app that goes on running: another host, another port, or a slow start."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assembler_runner.core.fixes import Edit, Fix
from assembler_runner.runtime.causes.context import DEFAULT_PORT, Context
from assembler_runner.runtime.causes.evidence import Log
from assembler_runner.runtime.causes.ports import EVERYWHERE, LOCAL, Listener, find_listeners
from assembler_runner.runtime.causes.problem import RUN, Excerpt, Problem
from assembler_runner.runtime.causes.repairs import card_fix

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is written into the app's code, not listened on here
_LOCAL_IN_CODE = re.compile(
    r"(?P<before>(?:host|server_name|--host|--bind|-b|--server\.address|-H|--address|HOST)[\"']?[ =:,]{1,4}[\"']?)"
    r"(?P<host>127\.0\.0\.1|localhost)\b"
)
_CODE_FILES = (".py", ".js", ".ts", ".mjs", ".sh", "Dockerfile", ".toml")


def reachability(log: Log | None, context: Context) -> Problem:
    """Returns why the Hub did not reach the app in time."""
    found = find_listeners(log.lines) if log else []
    right = [one for one in found if one.port == context.port]
    if any(one.reach != LOCAL for one in right):
        return _slow(log, context, right[0])
    if right:
        return _wrong_host(right[0], context)
    outside = [one for one in found if one.reach != LOCAL]
    if outside:
        return _wrong_port(outside[-1], context)
    return _wrong_host(found[-1], context) if found else _slow(log, context, None)


def _slow(log: Log | None, context: Context, listener: Listener | None) -> Problem:
    hint = (
        "If it needs long to load, set startup_duration_timeout in README.md (as 1h), "
        "or load models while the image is built."
    )
    if listener is None:
        port = f"port {context.port}" if context.port == DEFAULT_PORT else f"port {context.port} (app_port)"
        hint = f"{hint} The app must listen on host 0.0.0.0 and {port}."
        message = "The app did not answer in time after its start."
    else:
        message = (
            "The app did not answer in time after its start, "
            f"though its log says that it listens on port {listener.port}, which is right."
        )
    lines = (log.lines[-1].number,) if log and log.lines else ()
    text = "\n".join(line.text[:300] for line in log.lines[-5:]) if log else ""
    excerpt = Excerpt(text, RUN, log.lines[-5:][0].number) if log and log.lines else None
    fix = card_fix("startup_duration_timeout", "1h", context, safe=False) if listener else None
    return Problem(
        "start_timeout",
        message,
        hint,
        "README.md",
        None,
        RUN if log else None,
        {},
        fix,
        excerpt,
        lines,
        0.7,
        "start_timeout",
    )


def _wrong_host(listener: Listener, context: Context) -> Problem:
    message = f"The app listens on 127.0.0.1 only (port {listener.port}), which the Hub cannot reach."
    hint = "Let the app listen on host 0.0.0.0"
    if listener.port != context.port:
        hint += f" and port {context.port}, or name its port as app_port in README.md (docker)"
    if "local URL" in listener.text:
        hint += '; for gradio: demo.launch(server_name="0.0.0.0") or the variable GRADIO_SERVER_NAME=0.0.0.0'
    return _problem("wrong_host", message, f"{hint}.", listener, _listen_everywhere(listener, context))


def _wrong_port(listener: Listener, context: Context) -> Problem:
    message = f"The app listens on port {listener.port}, not where the Hub looks for it ({context.port})."
    if context.is_docker or context.space_type is None:
        hint = (
            f"Let the app listen on host 0.0.0.0 and port {context.port}, "
            f"or write app_port: {listener.port} into README.md."
        )
    else:
        hint = f"Let the app listen on host 0.0.0.0 and port {context.port}: take the port out of the code."
    return _problem("wrong_port", message, hint, listener, _app_port(listener, context))


def _problem(code: str, message: str, hint: str, listener: Listener, fix: Fix | None) -> Problem:
    path = fix.edits[0].path if fix and fix.edits else "README.md" if code == "wrong_port" else None
    line = fix.edits[0].line if fix and fix.edits else None
    excerpt = Excerpt(listener.text[:300], RUN, listener.line)
    values = {"port": str(listener.port)}
    return Problem(code, message, hint, path, line, RUN, values, fix, excerpt, (listener.line,), 0.85, code)


def _app_port(listener: Listener, context: Context) -> Fix | None:
    """Returns the fix that names the app's port on the card; only for a Space whose own Dockerfile starts the app."""
    if not context.is_docker or listener.reach not in (None, EVERYWHERE) or listener.port < 1024:
        return None
    return card_fix("app_port", listener.port, context)


def _listen_everywhere(listener: Listener, context: Context) -> Fix | None:
    """Returns the fix for the one place of the files that names the local host, where the port is right."""
    if listener.port != context.port:
        return None
    places = [
        place
        for path, text in context.files.items()
        if text and path.endswith(_CODE_FILES)
        for place in _places(path, text)
    ]
    if len(places) != 1:
        return None
    path, number, old, new = places[0]
    return Fix("Let the app listen on 0.0.0.0", True, (Edit(path, "replace", number, old, new),))


def _places(path: str, text: str) -> Sequence[tuple[str, int, str, str]]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _LOCAL_IN_CODE.search(line[:500]):
            found.append((path, number, match[0], match["before"] + _EVERYWHERE))
    return found
