"""Tasks for `invoke`: tests, checks, worker, broker, documentation."""

from __future__ import annotations

import json
import os
import shutil
import sys
import webbrowser
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from assembler_runner.core.settings import load

ROOT = Path(__file__).resolve().parent
PYTHON = sys.executable
os.environ["PATH"] = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"

BROKER_CONTAINER = "assembler-broker"
PAGES = "docs/_build/html"
LICENSES = ROOT / "assembler_runner" / "ui" / "licenses.json"
STARTERS = ("__main__", "wsgi", "ops/celery_worker", "ops/gunicorn_config")
"""Modules that start something when they are imported."""


@task(
    help={
        "slow": "Only what needs more than a few seconds: processes that are killed, containers, browsers, real apps.",
        "everything": "Both.",
    }
)
def test(c: Context, slow: bool = False, everything: bool = False) -> None:
    """Run the tests; without an option those that take a few seconds at most."""
    chosen = "" if everything else " -m slow" if slow else " -m 'not slow'"
    # In the order of tests/conftest.py: files that take long come first, so that none is left over at the end.
    c.run(f"{PYTHON} -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=10{chosen}", pty=False)


@task(help={"lint": "Without the tests, which `make test` runs, too."})
def check(c: Context, lint: bool = False) -> None:
    """Run ruff and mypy, and compare the migrations with the models."""
    c.run(f"{PYTHON} -m ruff check")
    c.run(f"{PYTHON} -m ruff format --check")
    c.run(f"{PYTHON} -m mypy")
    if lint:
        return
    c.run(
        f"{PYTHON} -m pytest -q tests/ops/test_migrations.py tests/project/test_docs.py tests/project/test_workflow.py"
    )


@task(
    optional=["folder"],
    help={"folder": "A folder of logs; tests/runtime/logs if left out, and then the page in docs is written anew."},
)
def causes(c: Context, folder: str = "") -> None:
    """Count how many causes of a folder of logs are found; writes docs/how-causes-are-found.md."""
    chosen = folder or "--page docs/how-causes-are-found.md"
    c.run(f"{PYTHON} -m tests.runtime.corpus {chosen}", pty=False)


@task(
    positional=["name"],
    optional=["name"],
    help={
        "name": "publish, accept, drain, overhead, assemble, start, growth, pages, apps or capacity; all if left out.",
        "quick": "The smallest form: shows that it runs, measures nothing.",
    },
)
def bench(c: Context, name: str = "", quick: bool = False) -> None:
    """Measure against opponents in the same run; writes benchmarks/results and docs/performance.md."""
    c.run(f"{PYTHON} -m benchmarks {name}{' --quick' if quick else ''}", pty=False)


@task(
    help={
        "rounds": "How often each combination is run.",
        "kills": "Kills in one run.",
        "databases": "Separated by commas.",
        "brokers": "Separated by commas; memory is the embedded one.",
        "seed": "Decides what is done; a random one if left out.",
        "parallel": "Combinations at the same time.",
    }
)
def chaos(
    c: Context,
    rounds: int = 1,
    kills: int = 20,
    databases: str = "sqlite,postgresql,mariadb",
    brokers: str = "memory,redis,rabbitmq",
    seed: int | None = None,
    parallel: int = 1,
) -> None:
    """Kill the service again and again, and count what came of its requests; writes docs/chaos.md."""
    chosen = f"--rounds {rounds} --kills {kills} --databases {databases} --brokers {brokers} --parallel {parallel}"
    seeded = "" if seed is None else f" --seed {seed}"
    c.run(f"{PYTHON} -m tests.support.chaos {chosen}{seeded} --page docs/chaos.md", pty=False)


@task(
    help={
        "pool": "Celery pool: threads, prefork, gevent or solo.",
        "concurrency": "How many requests are published at the same time.",
        "log-level": "Level of the log.",
        "periodic-scheduler": "Run the Celery beat scheduler, too; only one worker should.",
    }
)
def worker(
    c: Context, pool: str = "", concurrency: int = 0, log_level: str = "", periodic_scheduler: bool = False
) -> None:
    """Run a Celery worker in the foreground; what is not given here comes from the settings."""
    settings = load(os.environ)
    pool, concurrency = pool or settings.CELERY_WORKER_POOL, concurrency or settings.CONCURRENCY
    log_level = log_level or settings.LOG_LEVEL
    command = [PYTHON, "-m", "celery", "--app", "assembler_runner.ops.celery_worker:celery", "worker"]
    command += [
        f"--pool={pool}",
        f"--concurrency={concurrency}",
        f"--loglevel={log_level}",
        "-E",
        "--hostname=worker-%i@%h",
    ]
    if periodic_scheduler or settings.PERIODIC_SCHEDULER:
        command.append("--beat")
    os.execv(PYTHON, command)


@task
def audit(c: Context) -> None:
    """Compare the locked dependencies with published advisories; needs the network."""
    bad = False
    for lock in ("requirements.lock", "requirements-dev.lock"):
        command = f"{PYTHON} -m pip_audit --disable-pip --no-deps --progress-spinner off --format json -r {lock}"
        done = c.run(command, warn=True, hide=True, pty=False)
        try:
            rows = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
            sys.exit(
                f"{lock}: the advisories could not be read ({reason}). This needs the network; nothing was checked."
            )
        unchecked = [row["name"] for row in rows if "skip_reason" in row]
        if len(unchecked) == len(rows):
            sys.exit(f"{lock}: none of {len(rows)} packages could be checked. This needs the network.")
        found = [(row, advisory) for row in rows for advisory in row.get("vulns", [])]
        print(f"{lock}: {len(rows) - len(unchecked)} packages checked, {len(found)} advisories")
        for row, advisory in found:
            fixed = ", ".join(advisory["fix_versions"]) or "no release"
            print(f"  {row['name']} {row['version']}: {advisory['id']}, fixed in {fixed}")
        if unchecked:
            print(f"  Not checked: {', '.join(unchecked)}")
        bad |= bool(found or unchecked)
    sys.exit(bad)


@task(help={"minutes": "How long.", "seed": "A seed that was printed, to repeat it."})
def fuzz(c: Context, minutes: float = 5.0, seed: int = 0) -> None:
    """Send calls of all kinds, also through a hostile Hub, to a service of its own on this machine."""
    again = f" --seed {seed}" if seed else ""
    c.run(f"{PYTHON} -m tests.support.fuzz --minutes {minutes}{again}", pty=False)


@task(help={"port": "Port on this machine."})
def start_broker(c: Context, port: int = 6379) -> None:
    """Start a Redis: in a container, or the redis-server of this machine."""
    if shutil.which("docker") and c.run("docker info", hide=True, warn=True).ok:
        if not c.run(f"docker start {BROKER_CONTAINER}", hide=True, warn=True).ok:
            c.run(f"docker run --detach --name {BROKER_CONTAINER} --publish 127.0.0.1:{port}:6379 redis:7-alpine")
        return
    if not shutil.which("redis-server"):
        sys.exit("Neither docker nor redis-server is there; install one of them.")
    c.run(
        f"redis-server --daemonize yes --bind 127.0.0.1 --port {port} --save '' "
        f"--pidfile {_pidfile()} --dir {ROOT / 'instance'}"
    )


@task
def stop_broker(c: Context) -> None:
    """Stop what start-broker started."""
    if _pidfile().exists():
        c.run(f"kill {_pidfile().read_text().strip()}")
        return
    c.run(f"docker stop {BROKER_CONTAINER}")


@task
def reset_broker(c: Context) -> None:
    """Remove the container of the broker, to start it with another port."""
    stop_broker(c)
    if shutil.which("docker"):
        c.run(f"docker rm --force {BROKER_CONTAINER}", hide=True, warn=True)


@task
def update_source_doc(c: Context) -> None:
    """Write the pages of the source documentation, one a package, into docs/source."""
    excluded = " ".join(f"assembler_runner/{name}.py" for name in STARTERS)
    shutil.rmtree(ROOT / "docs" / "source", ignore_errors=True)
    with c.cd(str(ROOT)):
        c.run(
            f"{PYTHON} -m sphinx.ext.apidoc -q --force --module-first --output-dir docs/source "
            f"assembler_runner {excluded}",
            # Without what has no docstring: columns, fields of schemas and the like are explained with their class.
            env={"SPHINX_APIDOC_OPTIONS": "members,show-inheritance"},
        )
    # Not in the navigation, which every page contains whole: with all packages in it the build takes longer.
    index = ROOT / "docs" / "source" / "modules.rst"
    index.write_text(f":orphan:\n\n{index.read_text()}")


@task(update_source_doc)
def doc(c: Context) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    with c.cd(str(ROOT)):
        c.run(f"{PYTHON} -m sphinx --builder html --fail-on-warning --keep-going --quiet docs {PAGES}")
    print(f"The documentation is in {ROOT / PAGES / 'index.html'}")


@task
def screenshots(c: Context) -> None:
    """Take the pictures of the documentation anew, with Chromium; they are in docs/images."""
    with c.cd(str(ROOT)):
        c.run(f"{PYTHON} -m tests.ui.screenshots docs/images", pty=False)


@task
def browse_doc(c: Context) -> None:
    """Open the documentation in the default browser; `invoke doc` builds it."""
    if not (index := ROOT / PAGES / "index.html").exists():
        sys.exit("The documentation is not there yet; build it with: invoke doc")
    webbrowser.open(index.as_uri())


@task(help={"filter": "Show only targets with this text in them."})
def doc_index(c: Context, filter: str = "") -> None:
    """List what the documentation can be referred to by."""
    if not (inventory := ROOT / PAGES / "objects.inv").exists():
        sys.exit("The documentation is not there yet; build it with: invoke doc")
    from sphinx.util.inventory import InventoryFile

    with inventory.open("rb") as file:
        targets = InventoryFile.loads(file.read(), uri="")
    for kind, entries in sorted(targets.data.items()):
        for name, entry in sorted(entries.items()):
            if filter.lower() in f"{kind} {name} {entry.display_name}".lower():
                print(f"{kind} {name} → {entry.uri}")


@task(help={"upgrade": "Take the newest versions that fit, not those locked now."})
def update_dependencies(c: Context, upgrade: bool = False) -> None:
    """Write the locks of requirements.in and requirements-dev.in, and the page of licences."""
    options = (
        "--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate"
    )
    newest = " --upgrade" if upgrade else ""
    with c.cd(str(ROOT)):
        c.run(f"uv pip compile {options}{newest} requirements.in --output-file requirements.lock")
        c.run(f"uv pip compile {options}{newest} -c requirements.lock requirements-dev.in -o requirements-dev.lock")
    rows = _licenses(c, _locked("requirements.lock"))
    LICENSES.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@task
def list_licenses(c: Context) -> None:
    """List the licences of everything that the service and its development need."""
    for row in _licenses(c, _locked("requirements-dev.lock")):
        address = f" ({row['url']})" if row["url"] else ""
        print(f"{row['name']} {row['version']}: {row['license']}{address}")


def _licenses(c: Context, names: list[str]) -> list[dict[str, str]]:
    listed = f"{PYTHON} -m piplicenses --from=mixed --format=json --with-urls --with-system"
    found = json.loads(c.run(listed, hide=True).stdout)
    return [
        {"name": row["Name"], "version": row["Version"], "license": row["License"], "url": _safe(row["URL"])}
        for row in sorted(found, key=lambda row: str(row["Name"]).lower())
        if _plain(row["Name"]) in names
    ]


def _safe(url: str) -> str:
    # An address without encryption is an old one, which nobody keeps any more; a page of an index says nothing more.
    return url if url.startswith("https://") and "/project/" not in url else ""


def _locked(lock: str) -> list[str]:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return [_plain(line.partition("==")[0]) for line in lines if "==" in line and line[0].isalnum()]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-").partition("[")[0]


def _pidfile() -> Path:
    folder = ROOT / "instance"
    folder.mkdir(exist_ok=True)
    return folder / "broker.pid"
