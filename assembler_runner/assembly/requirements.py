"""The requirements of plugins, and conflicts between them and with the running service."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from assembler_runner.assembly.plugin_contract import ask_requirements
from assembler_runner.core.errors import AssemblerError, Finding
from assembler_runner.plugin import SpacePlugin


class RequirementsConflict(AssemblerError):
    """Requirements that cannot be satisfied together; `issues` contains each conflicting pair."""

    code = "requirements_conflict"
    default_message = "The requirements of the plugins conflict."
    default_hint = "Change the named plugins, or remove one."


def collect(plugins: Iterable[SpacePlugin]) -> dict[str, list[str]]:
    """Returns the lines of requirements by plugin, without comments and blank lines.

    Raises:
        PluginError: a plugin violated its contract.
    """
    found: dict[str, list[str]] = {}
    for plugin in plugins:
        lines = [line.split(" #")[0].strip() for line in ask_requirements(plugin).splitlines()]
        found[f"{plugin.space_type}@{plugin.version}"] = [line for line in lines if line and not line.startswith("#")]
    return found


def check(wanted: dict[str, list[str]], own: list[str]) -> None:
    """Checks requirements before anything is installed.

    Args:
        wanted: lines by plugin.
        own: lines of the service itself, whose installed versions must not change.
    Raises:
        RequirementsConflict: with one finding per invalid line and per conflict, naming the plugins.
    """
    findings: list[Finding] = []
    read: list[tuple[str, Requirement]] = []
    for plugin, lines in wanted.items():
        for line in lines:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                hint = "Write it as name>=1.0; options of pip are not allowed."
                findings.append(
                    Finding(
                        "invalid_requirement", f"{plugin}: {line!r} is not a valid requirement.", path=plugin, hint=hint
                    )
                )
                continue
            if requirement.marker is None or requirement.marker.evaluate():
                read.append((plugin, requirement))
    needed = {canonicalize_name(Requirement(line).name) for line in own}
    for number, (plugin, requirement) in enumerate(read):
        name = canonicalize_name(requirement.name)
        for other, second in read[:number]:
            if canonicalize_name(second.name) == name and (requirement.specifier & second.specifier).is_unsatisfiable():
                message = f"{plugin} requires {requirement}, but {other} requires {second}."
                findings.append(Finding("requirements_conflict", message, path=plugin))
        running = _running(name)
        if name in needed and running and not requirement.specifier.contains(running, prereleases=True):
            message = f"{plugin} requires {requirement}, but the service runs with {name} {running}."
            findings.append(Finding("requirements_conflict", message, path=plugin))
    if findings:
        raise RequirementsConflict("; ".join(finding.message for finding in findings), issues=findings)


def _running(name: str) -> Version | None:
    try:
        return Version(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None
