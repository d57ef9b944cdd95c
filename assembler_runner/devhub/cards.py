"""README front matter: what the Hub writes, reads and refuses."""

from __future__ import annotations

from typing import Any

import yaml

from assembler_runner.devhub.repo import File, Tree
from assembler_runner.devhub.runtime import SDKS

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
LARGE_ENDINGS = ("bin", "safetensors", "zip")
WELCOME_PAGE = """<!doctype html>
<link rel="stylesheet" href="style.css">
<p>Welcome to your static Space!</p>
"""
EMPTY_CARD = "empty or missing yaml metadata in repo card"


def front_matter(content: str) -> dict[str, Any] | None:
    """The front matter of a README; None without one, ValueError when it is not a YAML mapping."""
    lines = content.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        return None
    try:
        value = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        raise ValueError(f"Invalid YAML: {error}") from None
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("The metadata must be a mapping")
    return value


def problems(content: str, *, is_space: bool) -> list[str]:
    """Why the Hub would refuse this README."""
    try:
        card = front_matter(content)
    except ValueError as error:
        return [str(error)]
    if card is None or not is_space:
        return []
    colors = [key for key in ("colorFrom", "colorTo") if key in card and card[key] not in COLORS]
    found = [f'"{key}" must be one of {list(COLORS)}' for key in colors]
    if "sdk" in card and card["sdk"] not in SDKS:
        found.append(f'"sdk" must be one of {list(SDKS)}')
    if len(str(card.get("short_description", ""))) > 60:
        found.append('"short_description" length must be less than or equal to 60 characters long')
    if "app_port" in card and not isinstance(card["app_port"], int):
        found.append('"app_port" must be a number')
    return found


def card_of(tree: Tree) -> dict[str, Any] | None:
    """The front matter of a tree's README; None when it has none that can be read."""
    readme = tree.get("README.md")
    try:
        return front_matter(readme.data.decode()) if readme else None
    except ValueError:
        return None


def has_app(tree: Tree, sdk: str, card: dict[str, Any]) -> bool:
    """Whether there is something to run."""
    if sdk == "static":
        return True
    app_file = "Dockerfile" if sdk == "docker" else str(card.get("app_file", "app.py"))
    return app_file in tree


def initial_tree(kind: str, name: str, sdk: str | None) -> Tree:
    """The files of the commit which the Hub itself makes in a new repository."""
    attributes = "".join(f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LARGE_ENDINGS)
    tree = {".gitattributes": File(attributes.encode())}
    if kind != "space" or sdk is None:
        return tree
    card: dict[str, Any] = {"title": name, "emoji": "🚀", "colorFrom": "blue", "colorTo": "green", "sdk": sdk}
    if sdk == "gradio":
        card |= {"sdk_version": "6.31.0", "app_file": "app.py"}
    card["pinned"] = False
    front = yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
    tree["README.md"] = File(f"---\n{front}---\n\nThe first page of this Space.\n".encode())
    if sdk == "static":
        tree["index.html"] = File(WELCOME_PAGE.encode())
        tree["style.css"] = File(b"body { font-family: sans-serif; }\n")
    return tree
