"""Virtual environments created from lock files."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

# A lock file is complete. Without --no-deps pip resolves `name[extra]` anew, and a later release than the locked one
# makes it fail.
# Compiling everything takes longer than what is used of it needs.
LOCKED = ("install", "--quiet", "--no-compile", "--require-hashes", "--no-deps", "-r")


def environment_of(lock: Path, folder: Path, python: str = sys.executable) -> Path:
    """Creates an environment from a lock file, unless it exists and the lock has not changed since.

    Args:
        lock: the lock file, with hashes.
        folder: the environment.
        python: the interpreter it is made with.

    Returns:
        The interpreter of the environment.

    Raises:
        subprocess.CalledProcessError: a package could not be installed, or the lock is incomplete.
    """
    own, stamp = folder / "bin" / "python", folder / "made-from"
    made_from = f"{python} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    with lock.open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != made_from:
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python, "-m", "venv", folder], check=True)
            pip = [str(own), "-m", "pip", "--disable-pip-version-check"]
            subprocess.run([*pip, *LOCKED, str(lock)], check=True)
            subprocess.run([*pip, "--quiet", "check"], check=True)
            stamp.write_text(made_from)
    return own
