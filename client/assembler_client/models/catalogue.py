"""Space types, starter apps and plugins."""

from __future__ import annotations

from typing import Any

from assembler_client.models.findings import Model
from assembler_client.models.literals import PluginState


class Template(Model):
    """A starter app of a space type."""

    name: str
    """Name, for the field template."""
    title: str = ""
    """Its name for people."""
    description: str = ""
    """What it is."""
    files: list[str] = []
    """Paths of its files."""
    parameters: dict[str, Any] = {}
    """JSON Schema of its parameters."""


class TemplateFile(Model):
    """A file of a starter app, before parameters are written into it."""

    path: str
    """Path in the Space."""
    content: str = ""
    """The content."""
    encoding: str = "utf-8"
    """utf-8 or base64."""


class Starter(Model):
    """A starter app with its files."""

    name: str
    """Name, for the field template."""
    description: str = ""
    """What it is."""
    files: list[TemplateFile] = []
    """Its files."""
    defaults: dict[str, Any] = {}
    """Values of the parameters that have one."""


class SpaceType(Model):
    """A space type; `options` is the JSON Schema of its options."""

    name: str
    """Name, for the field space_type."""
    version: str = ""
    """Version of the plugin."""
    versions: list[str] = []
    """All versions, newest first."""
    sdk: str = ""
    """The SDK that the Hub runs."""
    description: str = ""
    """What it is."""
    tags: list[str] = []
    """Words to find it by."""
    options: dict[str, Any] = {}
    """JSON Schema of the options."""
    default_files: list[str] = []
    """Files that are generated if missing."""
    templates: list[Template] = []
    """Named starter apps."""


class Plugin(Model):
    """A plugin found by the service, with its state."""

    name: str
    """Its type; for a broken one its folder."""
    version: str | None = None
    """Its version."""
    source: str = ""
    """Where it was found; null for accounts that do not manage realms."""
    state: PluginState = "loaded"
    """Whether it can be used."""
    error: str | None = None
    """Why it is broken."""
    note: str | None = None
    """A remark, such as about a replaced plugin."""
