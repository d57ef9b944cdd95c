"""Names, sizes and contents of files that a Hub or another system cannot hold, and what was sent by mistake."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.core.fixes import Edit, Fix
from assembler_runner.files.paths import field_of

DISK_BYTES = 50 * 10**9
MAX_DELETED = 200
_LFS = b"version https://git-lfs.github.com/spec/v1"
_DEVICES = re.compile(r"(?i)^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:[ .].*)?$")
_MODEL_ENDINGS = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".safetensors",
    ".onnx",
    ".gguf",
    ".h5",
    ".pkl",
    ".joblib",
    ".tflite",
    ".npz",
    ".npy",
)
_BINARY_ENDINGS = (
    *_MODEL_ENDINGS,
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".mp3",
    ".mp4",
    ".wav",
    ".zip",
    ".gz",
    ".pdf",
    ".whl",
)
_LEFT_OVER = {
    "__pycache__": "compiled Python",
    ".ipynb_checkpoints": "copies of notebooks",
    ".DS_Store": "settings of Finder",
    "__MACOSX": "extras of macOS archives",
    "Thumbs.db": "previews of Windows",
    "desktop.ini": "settings of Windows folders",
    ".pytest_cache": "a cache of pytest",
    ".mypy_cache": "a cache of mypy",
    ".ruff_cache": "a cache of ruff",
    ".idea": "settings of an editor",
    ".vs": "settings of an editor",
    "node_modules": "installed packages of Node.js",
    ".gradio": "a cache of Gradio",
    "gradio_cached_examples": "cached examples of Gradio",
    "flagged": "flagged data of Gradio",
}
_SAFE_TO_DROP = frozenset(_LEFT_OVER) - {"flagged", "node_modules", "gradio_cached_examples", ".idea", ".vs"}


@rule(
    "lfs_pointer",
    "error",
    "files",
    explanation="The file is a pointer of Git LFS, a few lines that name the real file. The Hub refuses it, and an app "
    "cannot load it. On other targets it is a warning.",
    example="model.bin: version https://git-lfs.github.com/spec/v1",
)
def lfs_pointer(context: Context) -> Iterator[Found]:
    """Finds pointers of Git LFS in place of files."""
    for path, file in context.files.items():
        if 100 < file.size < 1024 and context.head(path).startswith(_LFS) and b"\noid sha256:" in context.head(path):
            size = re.search(rb"\nsize (\d{1,18})", context.head(path))
            yield Found(
                f"{quote(path)} is a pointer of Git LFS, not the file itself.",
                path,
                None,
                "Run git lfs pull, and send the file itself.",
                {"size": int(size[1]) if size else None},
                severity=None if context.target == "huggingface" else "warning",
            )


@rule(
    "annex_pointer",
    "warning",
    "files",
    explanation="The file is a pointer of git-annex, not the file itself.",
    example="data.nc: /annex/objects/SHA256E-s1234--…",
)
def annex_pointer(context: Context) -> Iterator[Found]:
    """Finds pointers of git-annex in place of files."""
    for path, file in context.files.items():
        if file.size < 1024 and re.match(rb"(?:\.\./)*(?:\.git)?/annex/objects/", context.head(path)):
            yield Found(
                f"{quote(path)} is a pointer of git-annex, not the file itself.",
                path,
                None,
                "Run git annex get, and send the file.",
            )


@rule(
    "page_in_place_of_file",
    "warning",
    "files",
    explanation="A download has failed: the file is a page of HTML, often an error or a sign-in.",
    example="model.safetensors: <!DOCTYPE html>",
)
def page_in_place_of_file(context: Context) -> Iterator[Found]:
    """Finds pages where a model or a picture should be."""
    for path in context.files:
        if path.lower().endswith(_BINARY_ENDINGS) and re.match(
            rb"\s*<(?:!doctype html|html|\?xml[^>]*>\s*<Error)", context.head(path)[:200], re.I
        ):
            yield Found(
                f"{quote(path)} is a page of HTML: its download has failed.", path, None, "Download the file again."
            )


@rule(
    "empty_model",
    "warning",
    "files",
    explanation="A file of weights or data has no content; the app cannot load it.",
    example="model.safetensors with 0 bytes",
)
def empty_model(context: Context) -> Iterator[Found]:
    """Finds empty files of weights or data."""
    for path, file in context.files.items():
        name = path.lower()
        is_model = name.endswith(_MODEL_ENDINGS) and (not name.endswith(".bin") or "model" in name)
        if not file.size and is_model:
            yield Found(f"{quote(path)} is empty.", path, None, "Send the file with its content.")


@rule(
    "name_of_device",
    "warning",
    "files",
    explanation="Windows cannot hold files named like its devices: CON, PRN, AUX, NUL, COM1, LPT1, with any ending. "
    "The repository cannot be cloned there.",
    example="aux.py",
)
def name_of_device(context: Context) -> Iterator[Found]:
    """Finds names of Windows' devices."""
    for path in context.files:
        if any(_DEVICES.match(part) for part in path.split("/")):
            yield Found(
                f"{quote(path)} cannot exist on Windows, where this is the name of a device.",
                path,
                None,
                "Use another name.",
            )


@rule(
    "name_ends_badly",
    "warning",
    "files",
    explanation="Windows drops dots and blanks at the end of a name, so that the file cannot be cloned there.",
    example="notes.txt. or 'folder /a.txt'",
)
def name_ends_badly(context: Context) -> Iterator[Found]:
    """Finds names that end with a dot or a blank, or begin with a blank."""
    for path in context.files:
        if any(part != part.rstrip(". ") or part.startswith(" ") for part in path.split("/")):
            yield Found(
                f"{quote(path)} has a name that begins or ends with a blank, or ends with a dot.",
                path,
                None,
                "Use another name.",
            )


@rule(
    "name_characters",
    "info",
    "files",
    explanation='Windows cannot hold names with < > : " | ? or *.',
    example="what?.txt",
)
def name_characters(context: Context) -> Iterator[Found]:
    """Finds characters that Windows has no names with."""
    for path in context.files:
        if re.search(r'[<>:"|?*]', path) and not _is_git_stream(path):
            yield Found(
                f"{quote(path)} cannot be cloned on Windows, for a character in its name.",
                path,
                None,
                "Use another name.",
            )


def _is_git_stream(path: str) -> bool:
    for part in path.split("/"):
        visible = "".join(character for character in part if unicodedata.category(character) != "Cf")
        if visible.partition(":")[0].rstrip(". ").casefold() in (".git", "git~1") and ":" in visible:
            return True
    return False


@rule(
    "reserved_path",
    "error",
    "files",
    explanation="The folder .git is the repository itself. Names that some file systems take for it, such as "
    "`.git::$INDEX_ALLOCATION`, could change how git works on the computer of whoever clones it.",
    example=".git::$INDEX_ALLOCATION/config",
)
def reserved_path(context: Context) -> Iterator[Found]:
    """Finds other names of the folder .git."""
    for path in context.files:
        if _is_git_stream(path):
            yield Found(
                f"The path {quote(path)} is another name of the folder .git on some systems.",
                field_of(clean(path)),
                None,
                "Leave it out.",
            )


@rule(
    "duplicate_path",
    "warning",
    "files",
    explanation="Two paths differ in case or Unicode form only. Both are published; Windows and macOS can hold one "
    "of them.",
    example="Readme.txt and readme.txt",
)
def duplicate_path(context: Context) -> Iterator[Found]:
    """Finds paths that are one on systems that fold case or Unicode forms."""
    seen: dict[str, str] = {}
    for path in sorted(context.files):
        first = seen.setdefault(fold(path), path)
        # A generated Dockerfile beside a given `dockerfile`: another finding says what to do.
        is_made = path.lower() == "dockerfile" and not (context.given(first) and context.given(path))
        if first != path and path.lower() != "readme.md" and not is_made:
            yield Found(
                f"The paths {quote(first)} and {quote(path)} differ only in case or Unicode form.",
                field_of(clean(path)),
                None,
                "Both are published; rename one if the Space is to be cloned on Windows or macOS.",
                {"first": clean(first)},
            )


@rule(
    "app_file_unicode_form",
    "info",
    "files",
    explanation="A letter such as ü can be written as one character or as two; macOS writes two. The app file is "
    "taken as the same.",
    example="app_file: 0_Übersicht.py with a file from macOS",
)
def app_file_unicode_form(context: Context) -> Iterator[Found]:
    """Says that the app file was found under another Unicode form."""
    named = context.options.get("app_file") or context.card.values.get("app_file")
    if (
        isinstance(named, str)
        and context.app_file in context.files
        and named.removeprefix("./") not in context.files
        and not named.isascii()
    ):
        yield Found(
            f"{quote(named)} is written in another Unicode form than the name of the file; they are taken as the same.",
            context.app_file,
            None,
            "Nothing to do.",
        )


@rule(
    "left_overs",
    "warning",
    "files",
    explanation="Caches, compiled files and settings of editors and systems are of no use in a Space.",
    example="__pycache__/app.cpython-312.pyc",
    has_fix=True,
)
def left_overs(context: Context) -> Iterator[Found]:
    """Finds files that tools leave behind."""
    kinds: dict[str, list[str]] = {}
    for path in context.files:
        if not context.given(path):
            continue
        for part in path.split("/"):
            if part in _LEFT_OVER:
                kinds.setdefault(part, []).append(path)
                break
    for part, paths in kinds.items():
        edits = tuple(Edit(path, "delete") for path in paths)
        fix = Fix(f"Leave {len(paths)} files out", part in _SAFE_TO_DROP, edits) if len(paths) <= MAX_DELETED else None
        what = f"{len(paths)} files" if len(paths) > 1 else "1 file"
        yield Found(
            f"{what} of {part}: {_LEFT_OVER[part]}.",
            paths[0],
            None,
            f"Leave {part} out.",
            {"kind": part, "count": len(paths)},
            fix,
        )


@rule(
    "environment_sent",
    "warning",
    "files",
    explanation="A virtual environment fits the computer it was made on only; the packages belong into "
    "requirements.txt.",
    example="venv/pyvenv.cfg",
)
def environment_sent(context: Context) -> Iterator[Found]:
    """Finds virtual environments."""
    for path in context.files:
        if path.rpartition("/")[2] == "pyvenv.cfg":
            folder = path.rpartition("/")[0] or "."
            yield Found(
                f"{quote(folder)} is a virtual environment.",
                path,
                None,
                f"Leave {quote(folder)} out.",
                {"folder": clean(folder)},
            )


@rule(
    "archive_of_source",
    "info",
    "files",
    explanation="An archive is not unpacked: the app is started from single files.",
    example="project.zip alone",
)
def archive_of_source(context: Context) -> Iterator[Found]:
    """Finds a single archive where an app should be."""
    given = [path for path in context.files if context.given(path) and path.lower() != "readme.md"]
    if len(given) == 1 and given[0].lower().endswith((".zip", ".tar.gz", ".tgz", ".rar", ".7z")):
        yield Found(
            f"{quote(given[0])} is not unpacked.",
            given[0],
            None,
            "Send its content, or send it as the archive of the request.",
        )


@rule(
    "space_too_large",
    "warning",
    "files",
    explanation="A Space has 50 GB of disk (Hub documentation, Spaces overview); these files leave no room.",
    example="60 GB of checkpoints",
)
def space_too_large(context: Context) -> Iterator[Found]:
    """Finds more files than the disk of a Space holds."""
    total = sum(file.size for file in context.files.values())
    if total > DISK_BYTES and context.target == "huggingface":
        yield Found(
            f"The files have {total} bytes in all; the disk of a Space has {DISK_BYTES}.",
            "files",
            None,
            "Keep models and data in repositories of their own, and load them at the start.",
            {"bytes": total},
        )


@rule(
    "folder_crowded",
    "warning",
    "files",
    explanation="The Hub advises at most 10,000 entries in one folder, and becomes slow near it.",
    example="8,001 pictures in one folder",
)
def folder_crowded(context: Context) -> Iterator[Found]:
    """Finds folders that are nearly too full for the Hub."""
    counts = Counter(path.rpartition("/")[0] for path in context.files)
    for folder, count in counts.items():
        if 8000 < count <= 10_000 and context.target == "huggingface":
            yield Found(
                f"The folder {quote(folder or '/')} has {count} files.",
                folder or "files",
                None,
                "Spread them over several folders.",
                {"count": count},
            )
