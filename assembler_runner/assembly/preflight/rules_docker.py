"""Dockerfiles: what their build and their start will not find (Dockerfile reference; Hub documentation, Docker Spaces)."""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.docker_ports import Listener, listener_of, listening_port
from assembler_runner.assembly.preflight.dockerfile import Dockerfile, Instruction, Stage, expand, split_words
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.fixes import Edit, Fix

DOCKERFILE = "Dockerfile"
COMPOSE = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_SCRIPT = re.compile(r"^(?:\./|/)?[\w./-]+\.(?:sh|bash|py|pl)$|^\./[\w./-]+$")
_SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash", "python", "python3", "ash", "dash", "zsh", "tini", "dumb-init", "node")
_WITHOUT_COMMAND = re.compile(
    r"^(?:docker\.io/)?(?:library/)?(?:python|node|ubuntu|debian|alpine|golang|rust|openjdk|eclipse-temurin)(?::|$)"
)
_UID_TAKEN = re.compile(r"^(?:docker\.io/)?(?:library/)?(?:node(?::|$)|ubuntu:(?:2[4-9]|noble|latest|rolling|devel))")


def _found(found: Instruction, message: str, hint: str, fix: Fix | None = None, **values: object) -> Found:
    return Found(message, DOCKERFILE, found.line, hint, values, fix)


def _swap(found: Instruction, old: str, new: str, title: str, *, safe: bool) -> Fix | None:
    if found.text.count(old) != 1:
        return None
    return Fix(title, safe, (Edit(DOCKERFILE, "replace", found.line, old, new),))


@rule(
    "dockerfile_name",
    "error",
    "docker",
    explanation="Only a file named Dockerfile at the top of the Space is built, written exactly so.",
    example="dockerfile",
    has_fix=True,
)
def dockerfile_name(context: Context) -> Iterator[Found]:
    """Finds a Dockerfile whose name differs in case or has an ending."""
    if context.sdk != "docker" or context.given(DOCKERFILE):
        return
    for path in context.files:
        if (
            "/" not in path
            and path.lower() in ("dockerfile", "dockerfile.txt", "docker-file", "containerfile")
            and context.given(path)
        ):
            text = context.text(path)
            fix = None
            if text is not None:
                fix = Fix(
                    "Rename it to Dockerfile", True, (Edit(DOCKERFILE, "write", None, None, text), Edit(path, "delete"))
                )
            yield Found(
                f"{quote(path)} is not built; only Dockerfile is.",
                path,
                None,
                "rename it to Dockerfile",
                {"path": clean(path)},
                fix,
            )
            return


@rule(
    "dockerfile_in_folder",
    "warning",
    "docker",
    explanation="Only a Dockerfile at the top of the Space is built.",
    example="docker/Dockerfile, and none at the top",
    has_fix=True,
)
def dockerfile_in_folder(context: Context) -> Iterator[Found]:
    """Finds Dockerfiles in folders where the top has none."""
    if (
        context.given(DOCKERFILE)
        or context.space_type == "static"
        or any(path.lower() == "dockerfile" for path in context.files)
    ):
        return
    inside = [path for path in context.files if path.rpartition("/")[2] == DOCKERFILE and path.count("/") < 3]
    if inside:
        text = context.text(inside[0])
        fix = None
        if text is not None and len(inside) == 1:
            fix = Fix("Copy it to the top", False, (Edit(DOCKERFILE, "write", None, None, text),))
        yield Found(
            f"{quote(inside[0])} is not built; only a Dockerfile at the top of the Space is.",
            inside[0],
            None,
            "Move it to the top, and name the paths in it from there; the type is then docker.",
            {"path": clean(inside[0])},
            fix,
        )


@rule(
    "compose_not_run",
    "warning",
    "docker",
    explanation="A Space is one container, built from the Dockerfile at its top; compose files are not run.",
    example="docker-compose.yml, and no Dockerfile at the top",
)
def compose_not_run(context: Context) -> Iterator[Found]:
    """Finds compose files where no Dockerfile is at the top."""
    if context.given(DOCKERFILE):
        return
    for path in COMPOSE:
        if context.given(path):
            yield Found(
                f"{path} is not run: a Space is one container, built from a Dockerfile at the top.",
                path,
                None,
                "Put all that has to run into one Dockerfile, or use services outside of the Space.",
            )
            return


@rule(
    "dockerfile_no_base",
    "error",
    "docker",
    explanation="A Dockerfile begins with FROM; only ARG may stand before it.",
    example="RUN pip install flask in the first line",
)
def dockerfile_no_base(context: Context) -> Iterator[Found]:
    """Finds Dockerfiles without a base image."""
    dockerfile = context.dockerfile
    if dockerfile is None:
        return
    first = next((found for found in dockerfile.instructions if found.name != "ARG"), None)
    if first is None or first.name != "FROM":
        yield Found(
            "The Dockerfile does not begin with FROM.",
            DOCKERFILE,
            first.line if first else 1,
            "Begin with a base image, such as FROM python:3.12-slim.",
        )


@rule(
    "dockerfile_unknown_instruction",
    "error",
    "docker",
    explanation="A line begins with a word that is no instruction; often the line before it lacks its backslash.",
    example="RUN apt-get update && apt-get install -y git, and && rm -rf /tmp/x in the next line",
)
def dockerfile_unknown_instruction(context: Context) -> Iterator[Found]:
    """Finds lines that are no instructions."""
    for found in (context.dockerfile.unknown if context.dockerfile is not None else [])[:3]:
        yield _found(
            found,
            f"{quote(found.text)} is no instruction of a Dockerfile.",
            "Correct the word, or end the line before with a backslash.",
        )


def _ignored(context: Context) -> list[tuple[str, bool]]:
    rows = (context.text(".dockerignore") or "").split("\n")[:500]
    found = []
    for row in rows:
        pattern = row.strip()
        if pattern and not pattern.startswith("#"):
            back = pattern.startswith("!")
            found.append((pattern.lstrip("!").strip("/").removeprefix("./"), back))
    return found


def _is_ignored(rules: list[tuple[str, bool]], path: str) -> bool:
    ignored = False
    for pattern, back in rules:
        plain = pattern.replace("**/", "*")
        if (
            fnmatch.fnmatchcase(path, plain)
            or path.startswith(pattern + "/")
            or (plain.startswith("*") and fnmatch.fnmatchcase(path, f"{plain}/*"))
        ):
            ignored = not back
    return ignored


@rule(
    "copy_source_missing",
    "error",
    "docker",
    explanation="The build stops at a COPY of something that was not sent, or that .dockerignore leaves out.",
    example="COPY requirements.txt . without a requirements.txt",
)
def copy_source_missing(context: Context) -> Iterator[Found]:
    """Finds files that a COPY or ADD does not find."""
    dockerfile = context.dockerfile
    if dockerfile is None:
        return
    rules = _ignored(context)
    for stage in dockerfile.stages:
        for found in stage.all("COPY", "ADD"):
            if "from" in found.flags or "<<" in found.rest:
                continue
            words = found.words if found.words is not None else split_words(found.rest)
            for word in words[:-1]:
                source = expand(word, stage.variables)
                if "$" in source or "://" in source or source.startswith("git@"):
                    continue
                problem = _missing(context, rules, source)
                if problem is not None:
                    hint = _hint(context, source)
                    yield _found(
                        found, f"The Dockerfile copies {quote(source)}, which {problem}.", hint, source=clean(source)
                    )


def _missing(context: Context, rules: list[tuple[str, bool]], source: str) -> str | None:
    path = posixpath.normpath(source.lstrip("/") or ".")
    if path == ".":
        return None
    if path.startswith("../"):
        return "is outside of the Space"
    if any(character in path for character in "*?["):
        fits = [
            name
            for name in (*context.files, *context.folders)
            if name.count("/") == path.count("/") and fnmatch.fnmatchcase(name, path)
        ]
        if not fits and "**" in path:
            return None
    else:
        fits = [path] if path in context.files or path in context.folders else []
    if not fits:
        return "was not sent"
    return "is left out by .dockerignore" if rules and all(_is_ignored(rules, name) for name in fits) else None


def _hint(context: Context, source: str) -> str:
    real = context.folded.get(fold(posixpath.normpath(source.lstrip("/") or ".")))
    if real is not None and real != posixpath.normpath(source):
        return f"The file is named {quote(real)}."
    return "Send it with the other files, or take the line out."


@rule(
    "port_mismatch",
    "warning",
    "docker",
    explanation="The app listens on another port than the one that the target asks on, so that nobody sees it. The port is "
    "read from EXPOSE and from the command of the last stage.",
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
    """Returns the port that a given Dockerfile tells, to be written as `app_port`; None where it tells none.

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
        fix = _swap(command, listener.host_word, new, "Listen on all addresses", safe=True)
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
    "executable_bit_lost",
    "warning",
    "docker",
    explanation="Files arrive without their executable bit. A script that is started by its path needs chmod in the "
    "Dockerfile, or the interpreter in the command.",
    example='CMD ["./entrypoint.sh"]',
    has_fix=True,
)
def executable_bit_lost(context: Context) -> Iterator[Found]:
    """Finds scripts that are started by their path and are not made executable."""
    dockerfile = context.dockerfile
    if dockerfile is None or dockerfile.last is None:
        return
    text = "\n".join(
        found.value
        for stage in dockerfile.lineage
        for found in stage.instructions
        if found.name in ("RUN", "COPY", "ADD")
    )
    for stage in dockerfile.lineage:
        # Beside an ENTRYPOINT the words of CMD are its arguments.
        starts = stage.all("ENTRYPOINT")[-1:] or stage.all("CMD")[-1:]
        for found in [*starts, *stage.all("RUN")]:
            words = (
                found.words
                if found.words is not None
                else split_words(found.rest.split("&&")[-1].split(";")[-1].replace("exec ", "", 1))
            )
            script = words[0] if words else ""
            name = posixpath.basename(script)
            path = _sent(context, name) if _SCRIPT.match(script) and script not in _SHELLS else None
            if path is None or _made_executable(text, name):
                continue
            head = context.head(path).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
            interpreter = re.search(r"(bash|ash|zsh|python3?|perl|sh)\s*$", head) if head.startswith("#!") else None
            fix = None
            if found.words is not None and interpreter is not None:
                fix = _swap(
                    found,
                    f'"{script}"',
                    f'"{interpreter[1]}", "{script}"',
                    f"Start it with {interpreter[1]}",
                    safe=True,
                )
            elif found.words is None and interpreter is not None and found.name != "RUN":
                fix = _swap(
                    found, f" {script}", f" {interpreter[1]} {script}", f"Start it with {interpreter[1]}", safe=True
                )
            program = interpreter[1] if interpreter else "sh"
            yield _found(
                found,
                f"The Dockerfile starts {quote(script)}, but executable bits do not arrive.",
                f'Put RUN chmod +x {clean(script)} before it, or write ["{program}", "{clean(script)}"].',
                fix,
                script=clean(script),
            )


def _sent(context: Context, name: str) -> str | None:
    return next((path for path in context.files if path.rpartition("/")[2] == name and context.given(path)), None)


def _made_executable(text: str, name: str) -> bool:
    if "--chmod=" in text:
        return True
    for command in re.findall(r"(?:chmod|install)\s[^&;\n]*", text):
        if name in command or re.search(r"\s-R\b|\*|\s\.\s*$|\$", command):
            return True
    return False


@rule(
    "script_line_ends",
    "error",
    "docker",
    explanation="A script with line ends of Windows cannot be started on Linux: the name of its interpreter ends with a "
    "character that does not exist. Where nothing in the Dockerfile names the script it is a warning.",
    example="entrypoint.sh saved on Windows",
    has_fix=True,
)
def script_line_ends(context: Context) -> Iterator[Found]:
    """Finds scripts with line ends of Windows, or a byte order mark."""
    if context.sdk != "docker":
        return
    text = context.text(DOCKERFILE) or ""
    cleaned = "dos2unix" in text or re.search(r"sed[^\n]*\\r", text) is not None
    for path in context.files:
        head = context.head(path) if context.given(path) else b""
        marked = head.startswith(b"\xef\xbb\xbf#!")
        if not (marked or head.startswith(b"#!") or path.endswith((".sh", ".bash"))) or path.endswith(".py") or cleaned:
            continue
        content = context.text(path)
        if content is None or ("\r\n" not in content and not marked):
            continue
        name = path.rpartition("/")[2]
        new = content.removeprefix("\ufeff").replace("\r\n", "\n")
        fix = Fix("Write Unix line ends", True, (Edit(path, "write", None, content, new),))
        what = "line ends of Windows" if "\r\n" in content else "a byte order mark before #!"
        yield Found(
            f"{quote(path)} has {what}, so that Linux cannot start it.",
            path,
            1,
            "Save it with Unix line ends (LF).",
            {},
            fix,
            "error" if name in text else "warning",
        )


@rule(
    "docker_no_command",
    "warning",
    "docker",
    explanation="Images of languages and systems start a shell or an interpreter, which ends at once; CMD says what to run.",
    example="FROM python:3.12 and COPY . . without CMD",
)
def docker_no_command(context: Context) -> Iterator[Found]:
    """Finds Dockerfiles that start nothing."""
    dockerfile = context.dockerfile
    if (
        dockerfile is not None
        and dockerfile.stages
        and dockerfile.command is None
        and _WITHOUT_COMMAND.match(dockerfile.image)
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
            _swap(found, found.rest, new, "Write it as JSON", safe=True)
            if closed and found.line == found.last_line
            else None
        )
        yield _found(
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
            yield _found(
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
        yield _found(
            dockerfile.command,
            f"The command runs {quote(file)}, which was not sent.",
            "Correct the name, or send the file.",
            file=clean(file),
        )


@rule(
    "apt_not_confirmed",
    "error",
    "docker",
    explanation="apt-get asks before it installs; a build has nobody to answer, so that it stops.",
    example="RUN apt-get update && apt-get install ffmpeg",
    has_fix=True,
)
def apt_not_confirmed(context: Context) -> Iterator[Found]:
    """Finds apt-get install without -y."""
    for stage, found in _runs(context.dockerfile):
        if stage is None or "APT::Get::Assume-Yes" in found.value or re.search(r"\byes\s*\|", found.value):
            continue
        for command in re.findall(
            r"\bapt(?:-get)?\s+(?:-[\w=:-]+\s+)*(?:install|upgrade|dist-upgrade)\b[^&;|\n]*", found.value
        ):
            if re.search(r"\s-[a-zA-Z]*y|\s--(?:yes|assume-yes)\b|\s-qq|\s-q=2", command):
                continue
            fix = (
                _swap(found, "install ", "install -y ", "Answer yes", safe=True) if " install " in found.text else None
            )
            yield _found(found, "apt-get install stops and asks, as it has no -y.", "Write apt-get install -y.", fix)
            break


@rule(
    "apt_without_update",
    "warning",
    "docker",
    explanation="The images of Debian and Ubuntu have no lists of packages: without apt-get update nothing is found.",
    example="FROM python:3.12-slim and RUN apt-get install -y git",
    has_fix=True,
)
def apt_without_update(context: Context) -> Iterator[Found]:
    """Finds apt-get install without a list of packages."""
    updated: set[int] = set()
    for stage, found in _runs(context.dockerfile):
        key = id(stage)
        if stage is None or not re.match(
            r"(?:docker\.io/)?(?:library/)?(?:python|node|debian|ubuntu|golang|ruby|nginx)(?::|$)", stage.image
        ):
            continue
        install = re.search(r"\bapt(?:-get)?\s+(?:-[\w=:-]+\s+)*install\b", found.value)
        update = re.search(r"\bapt(?:-get)?\s+(?:-[\w=:-]+\s+)*update\b|setup_\w+\.x|\.sh\b", found.value)
        if update:
            updated.add(key)
        elif install and key not in updated:
            updated.add(key)
            fix = _swap(found, "RUN apt", "RUN apt-get update && apt", "Read the lists first", safe=True)
            yield _found(
                found,
                "apt-get install finds no package: nothing reads the lists before it.",
                "Write RUN apt-get update && apt-get install -y …",
                fix,
            )


def _runs(dockerfile: Dockerfile | None) -> Iterator[tuple[Stage, Instruction]]:
    for stage in dockerfile.stages if dockerfile is not None else ():
        for found in stage.all("RUN"):
            yield stage, found


@rule(
    "docker_uid_taken",
    "error",
    "docker",
    explanation="The images of Node.js and of Ubuntu since 24.04 have a user with the uid 1000 already; a second one is "
    "refused and the build stops.",
    example="FROM node:22 and RUN useradd -m -u 1000 user",
    has_fix=True,
)
def docker_uid_taken(context: Context) -> Iterator[Found]:
    """Finds users whose uid the base image has already."""
    for stage, found in _runs(context.dockerfile):
        if not _UID_TAKEN.match(stage.image) or re.search(
            r"userdel|deluser|usermod", " ".join(run.value for run in stage.all("RUN"))
        ):
            continue
        match = re.search(r"\b(useradd|adduser)\b[^&;|\n]*(?:\s-u\s*|--uid[= ]\s*|-u=)1000\b[^&;|\n]*", found.value)
        if match is None or re.search(r"\s-\w*o\w*\s|--non-unique|\|\|", found.value):
            continue
        owner = "node" if "node" in stage.image else "ubuntu"
        fix = _swap(found, "useradd ", "useradd -o ", "Allow it twice", safe=False) if match[1] == "useradd" else None
        yield _found(
            found,
            f"The image {quote(stage.image)} has a user with uid 1000 already ({owner}).",
            f"Use USER {owner} instead, or write useradd -o.",
            fix,
            image=clean(stage.image),
        )


@rule(
    "docker_platform",
    "error",
    "docker",
    explanation="Spaces run on x86-64; an image for another processor does not start there.",
    example="FROM --platform=linux/arm64 python:3.12",
    has_fix=True,
)
def docker_platform(context: Context) -> Iterator[Found]:
    """Finds images for other processors."""
    dockerfile = context.dockerfile
    for stage in dockerfile.lineage if dockerfile is not None else ():
        for found in stage.all("FROM"):
            platform = found.flags.get("platform", "")
            arm = re.search(r"arm64|aarch64|arm/v\d|arm32", platform) or re.match(r"(?:arm64v8|arm32v\d)/", found.rest)
            if arm:
                fix = _swap(found, f"--platform={platform} ", "", "Take it out", safe=True) if platform else None
                yield _found(
                    found, f"{quote(found.text)} is for another processor than Spaces have.", "Use linux/amd64.", fix
                )


@rule(
    "dockerfile_sudo",
    "warning",
    "docker",
    explanation="Base images have no sudo; the build runs as root anyway until USER says otherwise.",
    example="RUN sudo apt-get update",
    has_fix=True,
)
def dockerfile_sudo(context: Context) -> Iterator[Found]:
    """Finds sudo where it is not installed."""
    for stage, found in _runs(context.dockerfile):
        earlier = " ".join(run.value for run in stage.all("RUN"))
        if (
            not re.match(r"sudo\s", found.value)
            or re.search(r"(?:install|add)\b[^&;|]*\bsudo\b", earlier)
            or not _WITHOUT_COMMAND.match(stage.image)
        ):
            continue
        fix = _swap(found, "sudo ", "", "Take sudo out", safe=not stage.all("USER"))
        yield _found(found, "The Dockerfile uses sudo, which the image does not have.", "Leave sudo out.", fix)
