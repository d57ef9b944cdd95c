"""`publish(thing)`: what people have in Python becomes a Space. No framework is imported, and nothing is pickled."""

from __future__ import annotations

import ast
import inspect
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assembler_client.errors import NotFound, invalid_input
from assembler_client.models import Finding, Space
from assembler_client.upload import Source

if TYPE_CHECKING:
    from assembler_client.assembler import Assembler

# Frameworks whose objects stand in the file that makes them; that file is the app.
_FRAMEWORKS = frozenset(
    {"gradio", "fastapi", "flask", "starlette", "streamlit", "marimo", "dash", "panel", "shiny", "nicegui"}
)
_SAVES_ITSELF = "smolagents"
_US = "assembler_client"


def publish(
    thing: Any, name: str | None = None, *, assembler: Assembler | None = None, wait: bool = True, **fields: Any
) -> Space:
    """Publishes an app: creates a Space, or updates the Space of that name.

    Args:
        thing: a path (folder, file, archive), a mapping of path → content, an agent or a tool of smolagents, an app of
            gradio, FastAPI, Flask, Streamlit or marimo, or a function: for these, the folder of the file that contains
            them.
        name: name of the Space; that of the folder if omitted.
        assembler: the client; by default that of the login of the command line.
        wait: whether to wait until the app runs.
        fields: as for `deploy`.
    Returns:
        The Space.
    Raises:
        InvalidRequest: it is nothing that can be published; the hint says what can.
        AppFailed: the Space is published, but its app does not run.
    """
    with _source_of(thing) as (source, options, folder), _client(assembler) as client:
        wanted: dict[str, Any] = {**({"options": options} if options else {}), **fields}
        named = name or _name_of(folder)
        known = existing(client, named)
        if known is not None:
            return client.update(known, source, wait=wait, **wanted)
        if named:
            wanted["name"] = named
        return client.deploy(source, wait=wait, **wanted)


def sources_of(thing: Any) -> tuple[Source, dict[str, Any], Path | None]:
    """Returns what is published for a thing that is not saved first: files, options of the type, and its folder.

    Raises:
        InvalidRequest: it is nothing that can be published.
    """
    if isinstance(thing, (str, Path)):
        path = Path(thing)
        return path, {}, path if path.is_dir() else None
    if isinstance(thing, Mapping):
        return dict(thing), {}, None
    if isinstance(thing, (list, tuple)):
        return list(thing), {}, None
    file = _file_of(thing)
    folder = file.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    start = file.relative_to(folder).as_posix()
    return folder, ({} if start == "app.py" else {"app_file": start}), folder


@contextmanager
def _source_of(thing: Any) -> Iterator[tuple[Source, dict[str, Any], Path | None]]:
    if _SAVES_ITSELF in _roots(thing) and callable(getattr(thing, "save", None)):
        with tempfile.TemporaryDirectory(prefix="assembler-") as name:
            thing.save(name)
            yield Path(name), {}, None
        return
    yield sources_of(thing)


@contextmanager
def _client(assembler: Assembler | None) -> Iterator[Assembler]:
    if assembler is not None:
        yield assembler
        return
    from assembler_client.cli.profiles import connect

    with connect(None, None) as opened:
        yield opened


def existing(client: Assembler, name: str | None) -> Space | None:
    """Returns the Space of a name, or None if there is none that can be updated."""
    try:
        found = client.find(name) if name else None
    except NotFound:
        return None
    return None if found is None or found.state in ("deleted", "deleting", "cancelled") else found


def _roots(thing: Any) -> set[str]:
    """Returns the top packages that define the classes of an object."""
    return {cls.__module__.partition(".")[0] for cls in type(thing).__mro__}


def _file_of(thing: Any) -> Path:
    """Returns the file that contains a function or makes an app object."""
    file = _file_of_function(thing) if inspect.isfunction(thing) else _file_of_object(thing)
    if file is None or not file.is_file():
        raise _not_publishable(
            "It is in no file.", "In a notebook, begin the cell with %%assembler NAME, or save the app to a file."
        )
    if _publishes(file):
        raise _not_publishable(
            f"{file.name} would publish itself again when it runs as a Space.",
            f"Call publish from another file or notebook: from {file.stem} import …",
        )
    return file.resolve()


def _file_of_function(function: Any) -> Path | None:
    found = inspect.getsourcefile(inspect.unwrap(function))
    return Path(found) if found else None


def _file_of_object(thing: Any) -> Path | None:
    if not _FRAMEWORKS & _roots(thing):
        cls = f"{type(thing).__module__}.{type(thing).__qualname__}"
        raise _not_publishable(
            f"An object of the class {cls} is not an app.",
            "Pass a path, a function, or an app of gradio, FastAPI, Flask, Streamlit, marimo or smolagents.",
        )
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        names = {name for name, value in list(vars(module).items()) if value is thing} if file else set()
        # A module that only imports the object is not the one that makes it.
        if names and _assigns(Path(str(file)), names):
            return Path(str(file))
    return None


def _assigns(file: Path, names: set[str]) -> bool:
    """Returns whether a file gives a value to one of the names, other than by an import."""
    return any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names for node in _nodes(file)
    )


def _nodes(file: Path) -> Iterator[ast.AST]:
    """Yields the syntax of a file, without what is inside of functions; nothing if it is not Python."""
    try:
        waiting: list[ast.AST] = [ast.parse(file.read_bytes())]
    except (OSError, SyntaxError, ValueError):
        return
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _publishes(file: Path) -> bool:
    """Returns whether a file imports this client outside of its functions."""
    for node in _nodes(file):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] == _US for name in names):
            return True
    return False


def _name_of(folder: Path | None) -> str | None:
    if folder is None:
        return None
    from assembler_client.cli.folder import name_of_folder

    return name_of_folder(folder) or None


def _not_publishable(message: str, hint: str) -> Exception:
    return invalid_input([Finding(code="not_publishable", path="thing", message=message, hint=hint)])
