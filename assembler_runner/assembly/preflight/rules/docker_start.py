"""Dockerfiles: what they start, and where it listens (Hub documentation, Docker Spaces)."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.docker_fixes import DOCKERFILE, WITHOUT_COMMAND, at_instruction, swap
from assembler_runner.assembly.preflight.docker_ports import Listener, listener_of, listening_port
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.core.fixes import Edit, Fix


@rule(
    "port_mismatch",
    "warning",
    "docker",
    explanation="The app listens on another port than the one that the target asks on, so that nobody sees it. The "
    "port is read from EXPOSE and from the command of the last stage.",
    example='CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"] without app_port: 8000',
    has_fix=True,
)
def port_mismatch(context: Context) -> Iterator[Found]:
    """Finds a Dockerfile whose app listens on another port."""
    dockerfile = context.dockerfile
    listener = listener_of(dockerfile) if dockerfile is not None else None
    if dockerfile is None or listener is None or listener.port is None or listener.port == context.port:
        return
    exposed = {port for port, _ in dockerfile.exposed}
    if not listener.certain and context.port in exposed:
        return
    where = f"exposes port {listener.port}" if listener.port in exposed else f"starts the app on port {listener.port}"
    message = f"The Dockerfile {where}, but the Space is asked for on port {context.port}."
    hint = f"Listen on port {context.port}, or set options.app_port to {listener.port}."
    fix = None
    if "app_port" not in context.card.values:
        fix = Fix(f"Set app_port to {listener.port}", True, (), {"app_port": listener.port})
    else:
        line, text = context.card.lines.get("app_port"), context.card.texts.get("app_port")
        if line is not None and context.given("README.md"):
            fix = Fix(
                f"Write app_port: {listener.port}",
                False,
                (Edit("README.md", "replace", line, text, f"app_port: {listener.port}"),),
            )
    yield Found(message, DOCKERFILE, listener.line, hint, {"port": listener.port, "asked": context.port}, fix)


def dockerfile_port(context: Context) -> int | None:
    """Returns the port that a given Dockerfile names, to be written as `app_port`; None if it names none.

    Args:
        context: the Space.
    Returns:
        7860 where it is one of several that are exposed.
    """
    dockerfile = context.dockerfile
    listener: Listener | None = listener_of(dockerfile) if dockerfile is not None else None
    if dockerfile is None or (listener is not None and listener.port is not None):
        return listener.port if listener is not None else None
    started = started_python(context)
    parsed = context.python(started) if started is not None else None
    return listening_port(parsed) if parsed is not None else None


def started_python(context: Context) -> str | None:
    """Returns the Python file that the command of a given Dockerfile runs; None where it runs none that was sent."""
    words = context.dockerfile.command_words if context.dockerfile is not None else []
    name = next((word for word in words if word.endswith(".py")), None)
    if name is None:
        return None
    path = name.removeprefix("./").removeprefix("/app/")
    if path in context.files:
        return path
    same = [found for found in context.python_paths if found.rpartition("/")[2] == posixpath.basename(path)]
    return same[0] if len(same) == 1 else None


@rule(
    "docker_listens_locally",
    "warning",
    "docker",
    explanation="The command starts a server on 127.0.0.1, which can be reached from inside of the container only. "
    "Several servers do so where no host is named.",
    example='CMD ["uvicorn", "main:app", "--port", "7860"]',
    has_fix=True,
)
def docker_listens_locally(context: Context) -> Iterator[Found]:
    """Finds commands that listen on the local address only."""
    dockerfile = context.dockerfile
    listener = listener_of(dockerfile) if dockerfile is not None else None
    if dockerfile is None or listener is None or not listener.local or dockerfile.command is None:
        return
    command = dockerfile.command
    fix = None
    anywhere = "0.0.0.0"  # noqa: S104 - advice
    if listener.host_word and command.text.count(listener.host_word) == 1:
        new = listener.host_word.replace("127.0.0.1", anywhere).replace("localhost", anywhere)
        fix = swap(command, listener.host_word, new, "Listen on all addresses", safe=True)
    elif not listener.host_word and listener.command in ("uvicorn", "hypercorn", "flask") and command.words is not None:
        option = {
            "uvicorn": ["--host", anywhere],
            "flask": ["--host", anywhere],
            "hypercorn": ["--bind", f"{anywhere}:{listener.port or 8000}"],
        }
        words = [*command.words, *option[listener.command]]
        one_line = command.line == command.last_line and command.text.lstrip().upper().startswith(command.name)
        if one_line:
            fix = Fix(
                "Listen on all addresses",
                True,
                (Edit(DOCKERFILE, "replace", command.line, command.text, f"{command.name} {json.dumps(words)}"),),
            )
    yield Found(
        f"The command starts {quote(listener.command)} on 127.0.0.1, where the target does not reach it.",
        DOCKERFILE,
        command.line,
        f"Add --host {anywhere}.",
        {"command": clean(listener.command)},
        fix,
    )


@rule(
    "port_needs_root",
    "warning",
    "docker",
    explanation="On the Hub containers run as uid 1000, which may not listen on ports below 1024.",
    example="EXPOSE 80 with app_port: 80",
)
def port_needs_root(context: Context) -> Iterator[Found]:
    """Finds ports that need root."""
    dockerfile = context.dockerfile
    listener = listener_of(dockerfile) if dockerfile is not None else None
    if listener is not None and listener.port is not None and listener.port < 1024:
        yield Found(
            f"The app listens on port {listener.port}, which uid 1000 may not.",
            DOCKERFILE,
            listener.line,
            "Listen on a port above 1023, such as 7860.",
            {"port": listener.port},
        )


@rule(
    "docker_no_command",
    "warning",
    "docker",
    explanation="Images of languages and systems start a shell or an interpreter, which ends at once; CMD says what "
    "to run.",
    example="FROM python:3.12 and COPY . . without CMD",
)
def docker_no_command(context: Context) -> Iterator[Found]:
    """Finds Dockerfiles that start nothing."""
    dockerfile = context.dockerfile
    if (
        dockerfile is not None
        and dockerfile.stages
        and dockerfile.command is None
        and WITHOUT_COMMAND.match(dockerfile.image)
    ):
        yield Found(
            "The Dockerfile has no CMD, so that nothing is started.",
            DOCKERFILE,
            dockerfile.instructions[-1].line,
            'End it with the command, such as CMD ["python", "app.py"].',
        )


@rule(
    "docker_command_quotes",
    "error",
    "docker",
    explanation="The list form is JSON: with single quotes it is taken for a command of the shell and is not found.",
    example="CMD ['python', 'app.py']",
    has_fix=True,
)
def docker_command_quotes(context: Context) -> Iterator[Found]:
    """Finds lists of words that are no JSON."""
    dockerfile = context.dockerfile
    for found in dockerfile.instructions if dockerfile is not None else ():
        if (
            found.name not in ("CMD", "ENTRYPOINT")
            or found.words is not None
            or not re.match(r"\[\s*['\"“]", found.rest)
        ):
            continue
        words = re.findall(r"'([^']*)'|\"([^\"]*)\"|[“”]([^“”]*)[“”]", found.rest)
        new = json.dumps([next((part for part in word if part), "") for word in words], ensure_ascii=False)
        closed = found.rest.rstrip().endswith("]") and len(words) == found.rest.count(",") + 1
        fix = (
            swap(found, found.rest, new, "Write it as JSON", safe=True)
            if closed and found.line == found.last_line
            else None
        )
        yield at_instruction(
            found,
            f"{quote(found.rest)} is no JSON list, so that the shell looks for a command of this name.",
            "Use double quotes, and a comma between the words.",
            fix,
        )


@rule(
    "docker_several_commands",
    "warning",
    "docker",
    explanation="Only the last CMD of a Dockerfile counts.",
    example="CMD redis-server, and CMD python app.py below it",
)
def docker_several_commands(context: Context) -> Iterator[Found]:
    """Finds commands that are never run."""
    last = context.dockerfile.last if context.dockerfile is not None else None
    for name in ("CMD", "ENTRYPOINT"):
        found = last.all(name) if last is not None else []
        if len(found) > 1:
            yield at_instruction(
                found[0],
                f"The Dockerfile has {len(found)} {name}; only the last one counts.",
                "Start all of them in one script, or take the others out.",
            )


@rule(
    "docker_start_file_missing",
    "warning",
    "docker",
    explanation="The command runs a file that was not sent and that no line of the Dockerfile makes.",
    example='CMD ["python", "main.py"], and the file is app.py',
)
def docker_start_file_missing(context: Context) -> Iterator[Found]:
    """Finds start files that do not exist."""
    dockerfile = context.dockerfile
    if dockerfile is None or dockerfile.command is None or len(dockerfile.stages) != 1:
        return
    stage = dockerfile.stages[0]
    words = dockerfile.command_words
    file = next((word for word in words[1:3] if re.fullmatch(r"[\w./-]+\.(?:py|js|mjs|sh|R)", word)), None)
    if not words or words[0] not in ("python", "python3", "node", "sh", "bash", "Rscript") or file is None:
        return
    copied = [found for found in stage.all("COPY", "ADD") if "from" not in found.flags]
    whole = [found for found in copied if re.match(r"\.\s|\./\s", found.rest)]
    runs = " ".join(found.value for found in stage.all("RUN"))
    name = posixpath.basename(file)
    if (
        not whole
        or name in runs
        or any(tool in runs for tool in ("git clone", "curl", "wget", "npm run", "tsc", "make"))
    ):
        return
    if not any(path == name or path.endswith(f"/{name}") for path in context.files):
        yield at_instruction(
            dockerfile.command,
            f"The command runs {quote(file)}, which was not sent.",
            "Correct the name, or send the file.",
            file=clean(file),
        )
