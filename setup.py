"""Adds to a wheel what stands beside the package in a clone; everything else is in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BUNDLED = ("plugins", "migrations", "requirements.in")


class BuildWithBundled(build_py):
    """Copies the bundled plugins and the migrations into `assembler_runner/bundled`."""

    def run(self) -> None:
        """Builds the package, then copies."""
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib) / "assembler_runner"
        # An earlier build may have left modules there that are no more.
        shutil.rmtree(package, ignore_errors=True)
        super().run()
        inside = package / "bundled"
        inside.mkdir()
        for name in BUNDLED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, inside / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, inside / name)


setup(cmdclass={"build_py": BuildWithBundled})
