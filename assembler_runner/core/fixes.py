"""Fixes: a machine-readable proposal for changing the files or options of a Space, and its application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Action = Literal["write", "append_line", "delete", "replace"]
ACTIONS: tuple[str, ...] = get_args(Action)


class FixDoesNotFit(ValueError):
    """The files differ from those the fix was created for.

    Args:
        path: the file that differs.
        reason: how it differs, in the service's own words; contains no text of the file.
        line: the line that differs, from 1, or None.
    """

    def __init__(self, path: str, reason: str, line: int | None = None) -> None:
        self.path, self.reason, self.line = path, reason, line
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {reason}")


@dataclass(frozen=True)
class Edit:
    """One change of one file.

    Args:
        path: the file, relative to the root of the Space, with `/`.
        action: `write` sets the whole text to `new`; `append_line` adds `new` as the last line, creates the file where
            it does not exist and changes nothing where the line exists; `delete` removes the line, or the file if no
            line is given; `replace` puts `new` in the place of `old`, once in the line, everywhere if no line is given.
        line: from 1, counted in the file before any edit of the same fix; None for the whole file.
        old: the expected current text: the text to replace, the line to delete, the text to overwrite; None for any.
        new: the new text; may contain several lines for `write` and `replace`.
    """

    path: str
    action: Action
    line: int | None = None
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True)
class Fix:
    """A change that resolves a finding or a problem.

    Args:
        title: what it does, as the label of a button.
        safe: whether it may be applied without review by a person.
        edits: changes of files.
        options: options of the space type to set.
    """

    title: str
    safe: bool
    edits: tuple[Edit, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the fix as the API shows it."""
        return {
            "title": self.title,
            "safe": self.safe,
            "edits": [asdict(edit) for edit in self.edits],
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fix:
        """Reverses :meth:`to_json`.

        Raises:
            ValueError: an edit has an unknown action.
        """
        edits = tuple(Edit(**edit) for edit in data["edits"])
        if unknown := sorted({edit.action for edit in edits} - set(ACTIONS)):
            raise ValueError(f"unknown actions: {', '.join(unknown)}; known are {', '.join(ACTIONS)}")
        return cls(data["title"], data["safe"], edits, data.get("options") or {})


def apply(files: Mapping[str, str | bytes], fix: Fix) -> dict[str, str | bytes]:
    """Applies the edits of a fix.

    Args:
        files: path → content; at least the existing files that the fix names.
        fix: the fix; the caller applies its options.
    Returns:
        All files after the change; a file given as bytes stays bytes. Line endings are preserved.
    Raises:
        FixDoesNotFit: a file is missing, is not UTF-8, or has changed since the fix was created; nothing is changed.
    """
    changed = dict(files)
    for path in dict.fromkeys(edit.path for edit in fix.edits):
        content = files.get(path)
        text = _decode(path, content)
        edited = _edit(path, text, [edit for edit in fix.edits if edit.path == path])
        if edited is None:
            changed.pop(path, None)
        elif edited != text:
            changed[path] = edited.encode() if isinstance(content, bytes) else edited
    return changed


def _decode(path: str, content: str | bytes | None) -> str | None:
    if not isinstance(content, bytes):
        return content
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise FixDoesNotFit(path, "the file is not text in UTF-8") from None


def _edit(path: str, text: str | None, edits: Iterable[Edit]) -> str | None:
    ordered = sorted(edits, key=lambda edit: -(edit.line or 0))
    for edit in ordered:
        text = _apply_one(path, text, edit)
    return text


def _apply_one(path: str, text: str | None, edit: Edit) -> str | None:
    if edit.action == "append_line":
        return _append(text or "", edit.new or "")
    if edit.action == "write":
        if edit.old is not None and text != edit.old:
            raise FixDoesNotFit(path, "the file has changed since the fix was created")
        return edit.new or ""
    if text is None:
        raise FixDoesNotFit(path, "the file does not exist")
    if edit.line is not None:
        return _edit_line(path, text, edit, edit.line)
    if edit.action == "delete":
        return None
    if not edit.old or edit.old not in text:
        raise FixDoesNotFit(path, "the text to replace does not occur")
    return text.replace(edit.old, edit.new or "")


def _append(text: str, line: str) -> str:
    if line in text.splitlines():
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    return text + (end if text and not text.endswith("\n") else "") + line + end


def _edit_line(path: str, text: str, edit: Edit, number: int) -> str:
    lines = text.split("\n")
    if not 1 <= number <= len(lines):
        raise FixDoesNotFit(path, "the file has fewer lines", number)
    line = lines[number - 1]
    content, end = line.removesuffix("\r"), "\r" if line.endswith("\r") else ""
    if edit.action == "delete":
        if edit.old is not None and content != edit.old:
            raise FixDoesNotFit(path, "the line has changed since the fix was created", number)
        del lines[number - 1]
    else:
        old = content if edit.old is None else edit.old
        if old not in content:
            raise FixDoesNotFit(path, "the line has changed since the fix was created", number)
        lines[number - 1] = content.replace(old, edit.new or "", 1).replace("\n", end + "\n") + end
    return "\n".join(lines)
