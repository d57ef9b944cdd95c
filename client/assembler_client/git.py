"""Files that git tracks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SECONDS = 30
_OF_OTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


def tracked_files(folder: Path) -> frozenset[str]:
    """Returns the files below a folder that git tracks, relative to it; none without a repository or without git.

    Args:
        folder: an absolute path.
    """
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return frozenset()
    # A hook sets variables that would select another repository. The file system monitor is a command of the
    # repository's own configuration, which may be anybody's.
    environ = {name: value for name, value in os.environ.items() if name not in _OF_OTHER_REPOSITORY}
    command = ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached"]
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and every argument is ours
            command,
            cwd=folder,
            env=environ,
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
