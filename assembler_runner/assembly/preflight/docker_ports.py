"""On which port and address the command of a Dockerfile listens, as far as it says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assembler_runner.assembly.preflight.context import DEFAULT_PORT
from assembler_runner.assembly.preflight.dockerfile import Dockerfile
from assembler_runner.assembly.preflight.python_file import PythonFile, constant, keyword
from assembler_runner.assembly.preflight.tables import COMMAND_PORTS, LOCAL_BY_DEFAULT

_PORT_OPTIONS = (
    "--port",
    "-p",
    "--server.port",
    "--server-port",
    "--http-port",
    "--listen-port",
    "-P",
    "--ServerApp.port",
    "-l",
)
_HOST_OPTIONS = ("--host", "-h", "--server.address", "--address", "--ip", "-b", "--bind", "--server-name", "--hostname")
_BIND_OPTIONS = ("--bind", "-b", "--listen")
_LOCAL = ("127.0.0.1", "localhost")
_WRAPPERS = frozenset(
    (
        "exec",
        "python",
        "python3",
        "-m",
        "uv",
        "run",
        "poetry",
        "pdm",
        "pipenv",
        "tini",
        "--",
        "dumb-init",
        "npx",
        "sh",
        "-c",
        "bash",
        "/bin/sh",
        "/bin/bash",
        "-u",
    )
)
_SETS_PORT = {
    "uvicorn": "UVICORN_PORT",
    "gunicorn": "GUNICORN_CMD_ARGS",
    "flask": "FLASK_RUN_PORT",
    "streamlit": "STREAMLIT_SERVER_PORT",
    "panel": "BOKEH_PORT",
}
_SETS_HOST = {
    "uvicorn": "UVICORN_HOST",
    "gunicorn": "GUNICORN_CMD_ARGS",
    "flask": "FLASK_RUN_HOST",
    "streamlit": "STREAMLIT_SERVER_ADDRESS",
    "panel": "BOKEH_ADDRESS",
}


@dataclass(frozen=True)
class Listener:
    """What is known of the server that a Dockerfile starts.

    Args:
        command: the program, such as uvicorn; empty where it is not known.
        port: the port; None where nothing names it.
        line: the line that tells the port.
        certain: whether the command itself tells the port, not only EXPOSE.
        local: whether it listens on 127.0.0.1 only.
        host_word: the word that says so; empty where the program does so without one.
    """

    command: str
    port: int | None
    line: int
    certain: bool
    local: bool
    host_word: str = ""


def listener_of(dockerfile: Dockerfile) -> Listener | None:
    """Reads port and address out of the command, ENV and EXPOSE; None where the Dockerfile starts nothing.

    Args:
        dockerfile: the parsed Dockerfile.
    """
    command = dockerfile.command
    exposed = dockerfile.exposed
    line = command.line if command is not None else 1
    words = _flat(dockerfile.command_words)
    name, options = _program(words)
    port, known = _port(words if name else [], dockerfile, name), False
    if port is not None:
        known = True
    elif exposed:
        ports = [number for number, _ in exposed]
        port = DEFAULT_PORT if DEFAULT_PORT in ports else ports[0]
        line = next(found.line for number, found in exposed if number == port)
    elif name in COMMAND_PORTS and not _configured(dockerfile, name, options, _SETS_PORT):
        port, known = COMMAND_PORTS[name], True
    local, word = _local(words, dockerfile, name, options)
    if port is None and not local:
        return None
    return Listener(name, port, line, known, local, word)


def _flat(words: list[str]) -> list[str]:
    """Takes apart `sh -c "uvicorn …"` and leaves the last command of a chain."""
    if (
        len(words) >= 3
        and words[0].rpartition("/")[2] in ("sh", "bash")
        and words[1].startswith("-")
        and words[1].endswith("c")
    ):
        words = words[2].split()
    flat = [part for word in words for part in (word.split() if " " in word and len(words) == 1 else [word])]
    for mark in ("&&", ";", "||"):
        while mark in flat:
            flat = flat[flat.index(mark) + 1 :]
    return flat


def _program(words: list[str]) -> tuple[str, list[str]]:
    for number, word in enumerate(words):
        name = word.rpartition("/")[2]
        if word in _WRAPPERS or re.fullmatch(r"[A-Z_]+=\S*", word):
            continue
        if name == "http.server":
            return name, words[number + 1 :]
        return name, words[number + 1 :]
    return "", []


def _port(words: list[str], dockerfile: Dockerfile, name: str) -> int | None:
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if not equals:
            value = words[number + 1] if number + 1 < len(words) else ""
        if option in _BIND_OPTIONS or (option in ("-b", "-l") and ":" in value):
            match = re.search(r":(\d{1,5})$", value)
            if match:
                return _valid(match[1])
        if option in _PORT_OPTIONS and value.isdecimal():
            return _valid(value)
    if name == "http.server":
        # `python -m http.server 7860`: the port is the first plain number.
        plain = next((word for word in words if word.isdecimal()), None)
        return _valid(plain) if plain is not None else 8000
    variable = _SETS_PORT.get(name, "")
    value = dockerfile.variables.get(variable, "")
    match = re.search(r"(?:^|:)(\d{2,5})\b", value)
    return _valid(match[1]) if match else None


def _valid(port: str) -> int | None:
    return int(port) if 0 < int(port) < 65_536 else None


def _configured(dockerfile: Dockerfile, name: str, options: list[str], variables: dict[str, str]) -> bool:
    """Whether something else than the command may decide: a file, a variable, a word that is not known."""
    if variables.get(name, "") in dockerfile.variables:
        return True
    if any(word in ("-c", "--config") or word.startswith("--config=") or "$" in word for word in options):
        return True
    return name in ("fastapi", "flask", "shiny", "streamlit", "panel", "mlflow", "jupyter", "bokeh", "mkdocs") and not (
        {"run", "serve", "server", "dev", "lab", "notebook"} & set(options)
    )


def _local(words: list[str], dockerfile: Dockerfile, name: str, options: list[str]) -> tuple[bool, str]:
    named = False
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in _HOST_OPTIONS and option not in _BIND_OPTIONS:
            continue
        named = True
        if not equals:
            value = words[number + 1] if number + 1 < len(words) else ""
        host = (
            value.rpartition(":")[0]
            if ":" in value and not value.startswith("[") and option in _BIND_OPTIONS
            else value
        )
        if host in _LOCAL:
            return True, word if equals else value
    if named or name not in LOCAL_BY_DEFAULT or _configured(dockerfile, name, options, _SETS_HOST):
        return False, ""
    if name == "jupyter":
        return False, ""
    return True, ""


def listening_port(parsed: PythonFile) -> int | None:
    """Returns the port that a file listens on when it is run and reached from outside; None where it does not say."""
    for call in parsed.calls_of("run", "launch", "run_server", "serve", "run_app"):
        port = constant(keyword(call, "port"))
        host = constant(keyword(call, "host")) or constant(keyword(call, "address"))
        if isinstance(port, int) and not isinstance(port, bool) and host in ("0.0.0.0", "::", "*"):  # noqa: S104 - read, not used
            return port
    return None
