"""The published FLAME Hub clients, unmodified and in environments of their own, against the real service.

Each environment, `.venv-flame-<version>`, is made from its lock when it is first needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.environments import environment_of
from tests.support.services import mariadb_database, postgres_database

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(__file__).parent / "published_clients"
READY = "Assembler is ready at "
PASSWORD = "start123 and more"


def environment(version: str) -> Path:
    """Returns the Python that has this version of the client."""
    return environment_of(FOLDER / f"{version}.lock", ROOT / f".venv-flame-{version}")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database; an empty text is the service's own."""
    makers = {"sqlite": lambda: nullcontext(""), "postgresql": postgres_database, "mariadb": mariadb_database}
    with makers[request.param]() as uri:
        yield uri


@pytest.fixture
def address(tmp_path: Path, database: str) -> Iterator[str]:
    """The service in a process of its own; gives its address."""
    command = [sys.executable, "-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path / "own")]
    environ = {"PATH": os.environ["PATH"], "ADMIN_PASSWORD": PASSWORD, "SQLALCHEMY_DATABASE_URI": database}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = next(line for line in process.stdout if line.startswith(READY))
            yield ready.removeprefix(READY).strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("version", ["0.1.1", "1.1.0"])
def test_the_examples_of_the_readme(version: str, address: str) -> None:
    script = FOLDER / f"readme_{version.replace('.', '_')}.py"
    command = [environment(version), script, address, PASSWORD]
    environ = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1,localhost"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
