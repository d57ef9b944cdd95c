"""Lock files stay installable whatever is released after them: they are complete, and pip resolves nothing."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.test_apps_run import ENVIRONMENT, newest_python
from tests.support.environments import LOCKED, environment_of

ROOT = Path(__file__).parent.parent.parent
PUBLISHED = ROOT / "tests" / "project" / "published_clients"
APPS = ROOT / "tests" / "project" / "apps"
# Run in an environment: what its markers are evaluated with, and where its distributions are.
DESCRIBE = """
import json, sys
from pip._vendor.packaging.markers import default_environment
print(json.dumps([default_environment(), sys.path[1:]]))
"""
INSTALLED_BY = re.compile(r"\bpip\b.*\binstall\b(?P<options>.*?)(?:-r|--requirement)[ =]\S*\.lock\b")


def installations() -> Iterator[tuple[str, list[str]]]:
    """Every command that installs a lock file: where it is written, and its options."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("client/*.md")]
    scripts = [*ROOT.glob(".ci/*"), *ROOT.glob("deploy/**/*.y*ml"), *ROOT.glob("*.y*ml")]
    for file in [ROOT / "Makefile", ROOT / "Dockerfile", ROOT / "tasks.py", *pages, *scripts]:
        for found in INSTALLED_BY.finditer(file.read_text(encoding="utf-8").replace("\\\n", " ")):
            yield str(file.relative_to(ROOT)), found["options"].split()
    yield "tests/support/environments.py", list(LOCKED[1:-1])


def wheel(folder: Path, name: str, version: str, *requires: str, extras: tuple[str, ...] = ()) -> str:
    """Writes an empty distribution; gives its line in a lock file."""
    info, file = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    metadata = [f"Requires-Dist: {line}" for line in requires] + [f"Provides-Extra: {extra}" for extra in extras]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata])
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def dry_run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What pip would install from the distributions of a folder; changes nothing."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--isolated", "install"]
    offline = ["--dry-run", "--ignore-installed", "--no-index", "--find-links", str(folder), "--report", "-"]
    return subprocess.run([*pip, *offline, *options], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(("where", "options"), [pytest.param(*found, id=found[0]) for found in installations()])
def test_a_later_release_of_a_package_with_an_extra_changes_nothing(
    tmp_path: Path, where: str, options: list[str]
) -> None:
    base = ("validator; extra == 'email'",)
    locked = [
        wheel(tmp_path, "consumer", "1.0", "base[email]"),
        wheel(tmp_path, "base", "1.0", *base, extras=("email",)),
        wheel(tmp_path, "validator", "1.0"),
    ]
    wheel(tmp_path, "base", "2.0", *base, extras=("email",))
    wheel(tmp_path, "validator", "2.0")
    lock = tmp_path / "requirements.lock"
    lock.write_text("\n".join(locked))
    done = dry_run(tmp_path, "--quiet", *options, "-r", str(lock))
    assert done.returncode == 0, f"{where}: {done.stderr}"
    installed = {one["metadata"]["name"]: one["metadata"]["version"] for one in json.loads(done.stdout)["install"]}
    assert installed == {"consumer": "1.0", "base": "1.0", "validator": "1.0"}


def test_every_lock_is_installed_with_hashes() -> None:
    places = dict(installations())
    assert {"Makefile", "Dockerfile", "tests/support/environments.py"} <= set(places)
    assert [where for where, options in places.items() if "--require-hashes" not in options] == []


def test_a_lock_is_installed_by_nothing_else() -> None:
    sources = [file for folder in ("tests", "benchmarks", "examples") for file in (ROOT / folder).rglob("*.py")]
    naming = [file for file in sources if b"--require-hashes" in file.read_bytes()]
    assert {file.name for file in naming} == {"environments.py", "test_locks.py"}


def pinned(lock: Path, environment: dict[str, str]) -> dict[str, str]:
    """The versions of a lock file that apply to a Python and its machine."""
    found = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate(environment):
                (only,) = requirement.specifier
                found[canonicalize_name(requirement.name)] = only.version
    return found


def declared(file: Path) -> Iterator[Requirement]:
    """The requirements of a file, and of the files it includes."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            yield from declared(file.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            yield Requirement(line)


def unpinned(wanted: list[Requirement], lock: Path, python: str) -> list[str]:
    """Follows requirements and their extras through an environment made from a lock.

    Args:
        wanted: what the lock was made for.
        lock: the lock file.
        python: the interpreter of the environment.

    Returns:
        What is needed and not pinned to a version that fits.
    """
    markers, folders = json.loads(subprocess.check_output([python, "-c", DESCRIBE]))
    installed = {canonicalize_name(one.metadata["Name"]): one for one in distributions(path=folders)}
    locked, missing, done = pinned(lock, markers), [], set()
    assert {name: installed[name].version for name in locked} == locked
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name not in locked or not requirement.specifier.contains(locked[name], prereleases=True):
            missing.append(str(requirement))
            continue
        for extra in {"", *requirement.extras} - {seen for of, seen in done if of == name}:
            done.add((name, extra))
            needed = map(Requirement, installed[name].requires or [])
            wanted += [one for one in needed if not one.marker or one.marker.evaluate({**markers, "extra": extra})]
    return missing


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_locks_of_the_service_have_all_that_extras_bring(name: str) -> None:
    assert unpinned(list(declared(ROOT / f"{name}.in")), ROOT / f"{name}.lock", sys.executable) == []


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.1.1", "1.1.0"])
def test_locks_of_published_clients_have_all_that_extras_bring(version: str) -> None:
    lock = PUBLISHED / f"{version}.lock"
    python = environment_of(lock, ROOT / f".venv-flame-{version}")
    assert unpinned([Requirement("flame-hub-client")], lock, str(python)) == []


@pytest.mark.slow
def test_lock_of_the_apps_has_all_that_extras_bring() -> None:
    lock = APPS / "requirements.lock"
    python = environment_of(lock, ENVIRONMENT, newest_python()[0])
    assert unpinned(list(declared(APPS / "requirements.in")), lock, str(python)) == []


def test_an_extra_that_is_not_pinned_is_found(tmp_path: Path) -> None:
    incomplete = tmp_path / "requirements.lock"
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    incomplete.write_text("\n".join(line for line in lines if not line.startswith("psycopg-binary==")))
    (missing,) = unpinned(list(declared(ROOT / "requirements.in")), incomplete, sys.executable)
    assert missing.startswith("psycopg-binary")
