"""A Dockerfile, parsed as far as the rules need it (Dockerfile reference, Docker documentation)."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from functools import cached_property

INSTRUCTIONS = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
MAX_INSTRUCTIONS = 2000

_HEREDOC = re.compile(r"<<-?[\"']?([A-Za-z_][\w.]*)[\"']?")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-+]([^}]*))?\}|([A-Za-z_]\w*))")
_FLAG = re.compile(r"^--([a-z-]+)(?:=(\S+))?\s+")
_PYTHON_IMAGE = re.compile(r"(?:^|/)(?:python|uv|pypy)(?::|$)")
_PYTHON_TAG = re.compile(r"(?:^|[:-]|python)(3)\.(\d{1,2})(?=[.\-:@]|[a-z]|$)")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Args:
        name: in capitals.
        value: everything behind it, with lines joined.
        line: line of its first word, from 1.
        last_line: line it ends on.
        text: its first line as written.
    """

    name: str
    value: str
    line: int
    last_line: int
    text: str

    @cached_property
    def flags(self) -> dict[str, str]:
        """Its flags, such as `from` of `COPY --from=build`."""
        return _flags(self.value)[0]

    @cached_property
    def rest(self) -> str:
        """The value without flags."""
        return _flags(self.value)[1]

    @cached_property
    def words(self) -> list[str] | None:
        """The words of the exec form; None for the shell form."""
        return exec_form(self.rest)


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next.

    Args:
        image: the base, with variables put in; empty where it is not known.
        name: the name behind AS, in lower case, or empty.
        instructions: all of it, FROM first.
        variables: ARG and ENV values that are known at its end.
    """

    image: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def all(self, *names: str) -> list[Instruction]:
        """Returns the instructions of these names."""
        return [found for found in self.instructions if found.name in names]


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile.

    Args:
        instructions: all that are known, in order.
        unknown: lines that begin with no instruction.
        stages: in order.
    """

    instructions: list[Instruction]
    unknown: list[Instruction]
    stages: list[Stage]

    @cached_property
    def last(self) -> Stage | None:
        """The stage that is run."""
        return self.stages[-1] if self.stages else None

    @cached_property
    def lineage(self) -> list[Stage]:
        """The last stage and the stages it is built on, the last one first."""
        by_name = {stage.name: stage for stage in self.stages if stage.name}
        found: list[Stage] = []
        stage = self.last
        while stage is not None and stage not in found:
            found.append(stage)
            stage = by_name.get(stage.image.lower())
        return found

    @cached_property
    def image(self) -> str:
        """The image that the last stage is built on in the end."""
        return self.lineage[-1].image if self.lineage else ""

    @cached_property
    def exposed(self) -> list[tuple[int, Instruction]]:
        """The ports that the last stage exposes."""
        found = []
        for stage in self.lineage:
            for instruction in stage.all("EXPOSE"):
                for word in expand(instruction.rest, stage.variables).split():
                    port = word.partition("/")[0]
                    if port.isdecimal() and 0 < int(port) < 65536:
                        found.append((int(port), instruction))
        return found

    @cached_property
    def command(self) -> Instruction | None:
        """What starts the app: the last CMD, else the last ENTRYPOINT."""
        for name in ("CMD", "ENTRYPOINT"):
            for stage in self.lineage:
                if found := stage.all(name):
                    return found[-1]
        return None

    @cached_property
    def command_words(self) -> list[str]:
        """The words of ENTRYPOINT and CMD as they are run, as far as they are known."""
        words: list[str] = []
        for name in ("ENTRYPOINT", "CMD"):
            instruction = next((found[-1] for stage in self.lineage if (found := stage.all(name))), None)
            if instruction is not None:
                words += instruction.words if instruction.words is not None else split_words(instruction.rest)
        variables = self.variables
        return [expand(word, variables) for word in words]

    @cached_property
    def variables(self) -> dict[str, str]:
        """ENV and ARG of the last stage and of those it is built on."""
        known: dict[str, str] = {}
        for stage in reversed(self.lineage):
            known |= stage.variables
        return known

    @cached_property
    def python_version(self) -> tuple[int, int] | None:
        """The Python of the base image, if its tag names it."""
        image = self.image.lower()
        name, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "")
        if not _PYTHON_IMAGE.search(f"{name}:") and "python" not in tag:
            return None
        match = _PYTHON_TAG.search(tag)
        return (3, int(match[2])) if match else None


def parse_dockerfile(text: str) -> Dockerfile:
    """Parses a Dockerfile; never raises for what is in it.

    Args:
        text: the file.
    """
    instructions: list[Instruction] = []
    unknown: list[Instruction] = []
    rows = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    escape = "`" if re.match(r"#\s*escape\s*=\s*`", rows[0]) else "\\"
    number = 0
    while number < len(rows) and len(instructions) + len(unknown) < MAX_INSTRUCTIONS:
        first = rows[number]
        number += 1
        if not first.strip() or first.lstrip().startswith("#"):
            continue
        start, parts, row = number, [], first
        while row.rstrip().endswith(escape) and number < len(rows):
            parts.append(row.rstrip()[:-1])
            row = rows[number]
            number += 1
            while row.lstrip().startswith("#") and number < len(rows):
                row = rows[number]
                number += 1
        parts.append(row.rstrip().removesuffix(escape))
        name, _, value = " ".join(parts).strip().partition(" ")
        name = name.upper().partition("\t")[0]
        if name in ("RUN", "COPY", "ADD"):
            for word in _HEREDOC.findall(value[:10_000]):
                while number < len(rows) and rows[number].strip() != word:
                    value += "\n" + rows[number]
                    number += 1
                number += 1
        found = Instruction(name, value.strip(), start, min(number, len(rows)), first.rstrip("\r"))
        (instructions if name in INSTRUCTIONS else unknown).append(found)
    return Dockerfile(instructions, unknown, _stages(instructions))


def _stages(instructions: list[Instruction]) -> list[Stage]:
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for instruction in instructions:
        if instruction.name == "FROM":
            words = expand(instruction.rest, arguments).split()
            name = words[2].lower() if len(words) > 2 and words[1].lower() == "as" else ""
            stages.append(Stage(words[0] if words else "", name))
        if instruction.name in ("ARG", "ENV"):
            known = stages[-1].variables if stages else arguments
            for key, value in assignments(instruction):
                known[key] = expand(value, known) if value else arguments.get(key, known.get(key, ""))
        if stages:
            stages[-1].instructions.append(instruction)
    return stages


def assignments(instruction: Instruction) -> list[tuple[str, str]]:
    """Returns the names and values that ENV, ARG or LABEL set."""
    rest = instruction.rest
    words = split_words(rest)
    if instruction.name == "ENV" and words and "=" not in words[0]:
        name, _, value = rest.partition(" ")
        return [(name, value.strip())]
    return [(name, value) for name, _, value in (word.partition("=") for word in words) if name]


def exec_form(text: str) -> list[str] | None:
    """Returns the words of `["a", "b"]`; None where it is no list of texts."""
    if not text.lstrip().startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def split_words(text: str) -> list[str]:
    """Splits a line as a shell does; where its quotes do not match, at blanks."""
    try:
        return shlex.split(text[:20_000])
    except ValueError:
        return text[:20_000].split()


def expand(text: str, variables: dict[str, str]) -> str:
    """Puts known variables into a text; unknown ones without a default stay."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        return variables.get(name) or match[2] or match[0]

    return _VARIABLE.sub(value_of, text) if "$" in text else text


def _flags(value: str) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    while match := _FLAG.match(value):
        found[match[1]] = match[2] or ""
        value = value[match.end() :]
    return found, value
