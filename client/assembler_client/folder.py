"""Which files of a folder belong to a Space: ignore rules, files that usually hold secrets, links."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assembler_client.errors import invalid_input
from assembler_client.git import tracked_files
from assembler_client.models import Finding
from assembler_client.secret_files import secret_reason

FOR_GIT, FOR_SPACES = ".gitignore", ".assemblerignore"
IGNORE_FILES = (FOR_GIT, FOR_SPACES)
"""Read in this order in every folder; later lines take precedence."""
REMEMBERED = ".assembler.json"
"""The file in which `assembler deploy` remembers the Space of a folder."""
_NEVER = frozenset((".git", ".hg", ".svn", FOR_SPACES, REMEMBERED))
ALWAYS_IGNORED = (
    ".cache/",
    "__MACOSX/",
    "__pycache__/",
    ".venv/",
    "node_modules/",
    ".DS_Store",
)
IGNORED = "ignored"
"""Reason of a file that an ignore rule names; the other ones are `secret` and `environment`."""


class Collected(dict[str, Path]):
    """Path in the Space → file, sorted; `left_out` has the reason for each path that was left out.

    Paths of folders end with a slash. Reasons: `ignored`, `secret`, `environment`.
    """

    def __init__(self, files: dict[str, Path], left_out: dict[str, str]) -> None:
        super().__init__(files)
        self.left_out = left_out


def collect(folder: Path) -> Collected:
    """Finds the files of a folder that belong to a Space.

    Left out are repositories, environments, caches, files that usually hold secrets (`.env`, `.streamlit/secrets.toml`,
    private keys …) and what `.gitignore` and `.assemblerignore` name in any folder, with the rules of git. Files that
    git tracks are taken even if `.gitignore` names them. A line of `.assemblerignore` that starts with `!` includes
    what another rule excludes; only such a line includes secrets, environments and caches. A link is taken as the
    file or folder it points to; the rules apply to both of its paths.

    Args:
        folder: the folder.
    Returns:
        The files, and what was left out.
    Raises:
        InvalidRequest: the folder does not exist or contains no files; or some links are broken or lead out of it.
    """
    if not folder.is_dir():
        raise _refused("not_a_folder", str(folder), "This folder does not exist.", "Check the path.")
    walk = _Walk(folder.resolve())
    found = dict(sorted(walk.files(walk.root, (walk.root,))))
    if walk.problems:
        raise invalid_input(sorted(walk.problems, key=lambda finding: finding.path or ""))
    if not found:
        hint = "Add at least one file. Check whether .gitignore or .assemblerignore exclude all files."
        if walk.left_out:
            hint += f" Left out: {', '.join(sorted(walk.left_out)[:10])}."
        raise _refused("no_files", str(folder), "This folder contains no file to publish.", hint)
    return Collected(found, dict(sorted(walk.left_out.items())))


class _Rules:
    """The rules of one source.

    Args:
        source: name of the ignore file; empty for the built-in rules.
        prefix: path of its folder, with a slash at the end.
        lines: the lines.
    """

    def __init__(self, source: str, prefix: str, lines: Sequence[str]) -> None:
        from pathspec import GitIgnoreSpec

        self.source, self.prefix = source, prefix
        with warnings.catch_warnings():
            # A pattern such as [[a] is valid for git; `re` warns that its meaning may change.
            warnings.simplefilter("ignore", FutureWarning)
            self.lines = [line for line in lines if _is_rule(line)]
            self.spec = GitIgnoreSpec.from_lines(self.lines)


def _is_rule(line: str) -> bool:
    """Whether a line is a valid rule; git skips all others, too."""
    from pathspec.patterns.gitignore.base import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    try:
        return GitIgnoreSpecPattern(line).include is not None
    except GitIgnorePatternError:
        return False


@dataclass
class _Walk:
    """One pass through a folder.

    Args:
        root: the folder, resolved.
    """

    root: Path
    left_out: dict[str, str] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cache: dict[str, list[_Rules]] = {}
        self._tracked = tracked_files(self.root)
        self._tracked_folders = {parent for path in self._tracked for parent in _parents(path)}

    def files(self, folder: Path, chain: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
        """Yields the files of a folder.

        Args:
            folder: the folder, below the root; its path may contain one link.
            chain: the real folders from the root to this one.
        """
        in_link = chain[-1] != folder
        for path in sorted(folder.iterdir()):
            if path.name in _NEVER:
                continue
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink() and not self._follows(path, name, chain, in_link):
                continue
            is_folder = path.is_dir()
            reason = self._reason(name, path, is_folder)
            if reason is None and in_link:
                real = chain[-1] / path.name
                reason = self._reason(real.relative_to(self.root).as_posix(), real, is_folder)
            if reason is not None:
                self._leave_out(f"{name}/" if is_folder else name, reason)
            elif is_folder:
                yield from self.files(path, (*chain, path.resolve()))
            elif path.is_file():
                yield name, path

    def _follows(self, path: Path, name: str, chain: tuple[Path, ...], in_link: bool) -> bool:
        """Whether a link can be taken as what it points to; else it is left out or a problem."""
        # A broken link may have pointed to a folder.
        kinds = (path.is_dir(),) if path.exists() else (False, True)
        reason = next((found for kind in kinds if (found := self._reason(name, path, kind))), None)
        if reason is not None:
            self._leave_out(name, reason)
            return False
        hint = "Replace it with what it points to, or add it to .assemblerignore."
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            self._problem("broken_link", name, "This link points to a file that does not exist.", hint)
            return False
        if not target.is_relative_to(self.root):
            self._problem("link_outside", name, "This link leads out of the folder.", hint)
            return False
        if target in chain:
            self._problem("link_to_folder", name, "This is a link to a folder that contains it.", hint)
            return False
        if reason := self._reason_of_target(target):
            self._leave_out(name, reason)
            return False
        if target.is_dir() and in_link:
            # Links in linked folders could multiply the files without end.
            self._problem("link_to_folder", name, "This is a link to a folder, inside a linked folder.", hint)
            return False
        return True

    def _reason_of_target(self, target: Path) -> str | None:
        """Returns why the target of a link, or a folder that contains it, is left out."""
        name = target.relative_to(self.root).as_posix()
        if not _NEVER.isdisjoint(name.split("/")):
            return IGNORED
        for part in [*reversed(_parents(name)), name]:
            path = self.root / part
            if reason := self._reason(part, path, path.is_dir()):
                return reason
        return None

    def _reason(self, name: str, path: Path, is_folder: bool) -> str | None:
        """Returns why a path is left out, or None."""
        ignored, chosen = self._rules(f"{name}/" if is_folder else name)
        return (None if chosen else secret_reason(name, path, is_folder)) or (IGNORED if ignored else None)

    def _rules(self, shown: str) -> tuple[bool, bool]:
        """Returns whether the rules exclude a path, and whether .assemblerignore includes it explicitly."""
        name = shown.rstrip("/")
        source, ignored, names_it = "", False, False
        for rules in self._rules_of(name.rpartition("/")[0]):
            found = rules.spec.check_file(shown.removeprefix(rules.prefix))
            built_in = ignored and not source
            if found.include is None or found.index is None or (built_in and rules.source != FOR_SPACES):
                continue
            source, ignored = rules.source, found.include
            # A line such as !folder/ does not name the files in the folder.
            names_it = shown.endswith("/") or not rules.lines[found.index].rstrip().endswith("/")
        if source == FOR_GIT and (name in self._tracked or name in self._tracked_folders):
            ignored = False
        return ignored, source == FOR_SPACES and not ignored and names_it

    def _rules_of(self, folder: str) -> list[_Rules]:
        """Returns the rules that apply in a folder, those with precedence last."""
        if folder not in self._cache:
            found = list(self._rules_of(folder.rpartition("/")[0])) if folder else [_Rules("", "", ALWAYS_IGNORED)]
            for name in IGNORE_FILES:
                path = self.root / folder / name
                if path.is_file():
                    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                    found.append(_Rules(name, f"{folder}/" if folder else "", lines))
            self._cache[folder] = found
        return self._cache[folder]

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = reason

    def _problem(self, code: str, path: str, message: str, hint: str) -> None:
        self.problems.append(Finding(code=code, path=path, message=message, hint=hint))


def _parents(path: str) -> list[str]:
    """Returns the folders of a path, the nearest first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _refused(code: str, path: str, message: str, hint: str) -> Exception:
    return invalid_input([Finding(code=code, path=path, message=message, hint=hint)])
