"""The same Space published by the service and by what else there is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks import stage
from benchmarks.measuring import Goal, Result, Runs
from tests.support.chaos.stage import Hub
from tests.support.services import PROJECT, wait_until

WHAT = (
    "The same files (20, 100 kB), as a static Space and as a gradio one, published to the stand-in Hub, by latency of "
    "a Hub call in milliseconds. `seconds`: from the call, or from the start of the command, until the commit is "
    "published and the caller knows it. `requests` and `commits` are those the Hub has seen; its own first commit does "
    "not count. `MiB` is the peak of resident memory and `processor s` the processor time, of all processes that "
    "publish. The service is `assembler serve`. `one by one` is a Flask service that uploads each file with a call of "
    "its own. `plugin task` is a Flask route, a row in SQLite and a Celery task by Redis, with a worker of its own, in "
    "the manner of the QHAna plugin runner. These three are running already; a script and the commands start Python "
    "each time, as their users do. `script` is `create_repo` and `upload_folder` of huggingface_hub, `hf upload` the "
    "command (for a static Space after `hf repos create`, since it creates gradio Spaces only), and `gradio deploy` "
    "the command of the newest gradio, in an environment of its own."
)
WHY = "without latency fewer calls save nothing, and the service first checks the request and stores it durably"
ASSEMBLER, ONE_BY_ONE, SCRIPT = "Assembler", "one by one", "script"
PLUGIN, UPLOAD, DEPLOY = "plugin task", "hf upload", "gradio deploy"
POLL_SECONDS = 0.01
GRADIO = 'import gradio as gr\n\ndemo = gr.Interface(lambda name: f"Hello {name}", "text", "text")\ndemo.launch()\n'

Publish = Callable[[str, Path], None]
"""Publishes a Space of a type: the files are also in a folder."""


@dataclass
class Way:
    """A way to publish.

    Args:
        publish: does it once.
        pids: returns the processes that do it; empty for commands.
    """

    publish: Publish
    pids: Callable[[], list[int]] = list


@dataclass
class Once:
    """What one publication took."""

    seconds: float
    requests: int
    commits: int
    mib: float
    processor: float


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    latencies, rounds, types = ([0.0], 1, ["static"]) if quick else ([0.0, 0.1], 3, ["static", "gradio"])
    result = Result("others", WHAT)
    with ExitStack() as stack:
        hub = stack.enter_context(stage.hub())
        folder = stack.enter_context(stage.folder())
        ways, missing = _ways(stack, hub, folder, with_gradio=not quick)
        for space_type in types:
            for latency in latencies:
                result.rows += _rows(ways, hub, folder, space_type, latency, rounds)
                if space_type == "gradio":
                    result.rows += _left_out(missing, space_type, latency)
    result.goals = [] if quick else _goals(result.rows)
    return result


def _rows(
    ways: Mapping[str, Way], hub: Hub, folder: Path, space_type: str, latency: float, rounds: int
) -> list[dict[str, Any]]:
    hub.ask("POST", "latency", {"seconds": latency})
    can = {name: way for name, way in ways.items() if name != DEPLOY or space_type == "gradio"}
    found: dict[str, list[Once]] = {name: [] for name in can}
    for number in range(rounds + 1):
        for name, way in can.items():
            once = _measure(way, hub, space_type, folder)
            # The first one warms up.
            if number or rounds == 1:
                found[name].append(once)
    return [_row(name, space_type, latency, runs) for name, runs in found.items()]


def _row(name: str, space_type: str, latency: float, runs: list[Once]) -> dict[str, Any]:
    last = runs[-1]
    return {
        "way": name,
        "Space": space_type,
        "ms per call": round(latency * 1000),
        "seconds": round(Runs([once.seconds for once in runs]).median, 3),
        "requests": last.requests,
        "commits": last.commits,
        "MiB": round(Runs([once.mib for once in runs]).median, 1),
        "processor s": round(Runs([once.processor for once in runs]).median, 3),
        "note": None,
    }


def _left_out(missing: Mapping[str, str], space_type: str, latency: float) -> list[dict[str, Any]]:
    empty = dict.fromkeys(("seconds", "requests", "commits", "MiB", "processor s"))
    about = {"Space": space_type, "ms per call": round(latency * 1000)}
    return [{"way": name, **about, **empty, "note": why} for name, why in missing.items()]


def _measure(way: Way, hub: Hub, space_type: str, folder: Path) -> Once:
    """Publishes once, and measures it."""
    # A new folder each time: the commands keep a cache in it.
    tree = Path(tempfile.mkdtemp(dir=folder))
    _write(tree, space_type)
    before = set(hub.ask("GET", "state")["repos"])
    hub.ask("DELETE", "requests")
    pids = way.pids()
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    _peak.mib = 0.0
    processor = _processor(pids)
    begun = time.perf_counter()
    way.publish(space_type, tree)
    seconds = time.perf_counter() - begun
    processor = _processor(pids) - processor
    requests = stage.requests_of(hub)
    made = [repo for name, repo in hub.ask("GET", "state")["repos"].items() if name not in before]
    assert len(made) == 1, made
    commits = sum(not commit["initial"] for commit in made[0]["commits"])
    assert {"README.md", "data/data-18.txt"} <= set(made[0]["tree"]), made[0]["tree"]
    return Once(seconds, requests, commits, sum(map(_peak_of, pids)) or _peak.mib, processor)


def _processor(pids: list[int]) -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(map(stage.processor_of, pids)) if pids else children.ru_utime + children.ru_stime


def _peak_of(pid: int) -> float:
    """Returns the peak of resident memory of a process in MiB, since it was last reset."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class _Peak:
    mib = 0.0


_peak = _Peak()


def _files(space_type: str) -> dict[str, str]:
    """Returns 19 files as a caller gives them; the README.md makes them 20."""
    main = {"index.html": "<h1>Hello</h1>\n".ljust(5000, "x")} if space_type == "static" else {"app.py": GRADIO}
    return main | {f"data/data-{number:02}.txt": f"{number}\n".ljust(5000, "x") for number in range(1, 19)}


def _write(tree: Path, space_type: str) -> None:
    card = f"---\ntitle: bench\nsdk: {space_type}\n---\n"
    for path, content in {**_files(space_type), "README.md": card}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)


def _ways(stack: ExitStack, hub: Hub, folder: Path, with_gradio: bool) -> tuple[dict[str, Way], dict[str, str]]:
    """Starts what has to run, and returns all ways with the reasons for those that are not possible."""
    hub_settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "HF_HOME": str(folder / "hf")}
    ways = {
        ASSEMBLER: _assembler(stack, hub_settings),
        ONE_BY_ONE: _one_by_one(stack, hub_settings),
        PLUGIN: _plugin_task(stack, folder, hub_settings),
        SCRIPT: Way(partial(_script, hub_settings)),
        UPLOAD: Way(partial(_upload, hub_settings)),
    }
    missing: dict[str, str] = {}
    if with_gradio:
        command = folder / "gradio" / "bin" / "gradio"
        if problem := _install_gradio(folder / "gradio"):
            missing[DEPLOY] = problem
        else:
            ways[DEPLOY] = Way(partial(_deploy, hub_settings, command))
    return ways, missing


def _assembler(stack: ExitStack, hub_settings: dict[str, str]) -> Way:
    process = stack.enter_context(stage.serve(stack.enter_context(stage.folder()), **hub_settings))
    client = stage.logged_in(stage.address(process))
    stack.callback(client.close)

    def publish(space_type: str, tree: Path) -> None:
        body = {"space_type": space_type, "name": stage.new_name(), "files": _given(tree)}
        answer = client.post("/create-space", json=body)
        assert answer.status_code == 200, answer.text

    return Way(publish, lambda: process.pids)


def _given(tree: Path) -> dict[str, str]:
    return {path.relative_to(tree).as_posix(): path.read_text() for path in tree.rglob("*") if path.is_file()}


def _one_by_one(stack: ExitStack, hub_settings: dict[str, str]) -> Way:
    process, url = stack.enter_context(stage.gunicorn("benchmarks.opponents:one_by_one_app", **hub_settings))
    client = stack.enter_context(httpx.Client(base_url=url, timeout=120))

    def publish(space_type: str, tree: Path) -> None:
        body = {"space_type": space_type, "name": stage.new_name(), "files": _given(tree)}
        answer = client.post("/create-space", json=body)
        assert answer.status_code == 200, answer.text

    return Way(publish, lambda: process.pids)


def _plugin_task(stack: ExitStack, folder: Path, hub_settings: dict[str, str]) -> Way:
    settings = {**hub_settings, **stack.enter_context(stage.queue()), "PLUGIN_DATABASE": f"sqlite:///{folder / 'p.db'}"}
    api, url = stack.enter_context(stage.gunicorn("benchmarks.plugin_task:app", **settings))
    command = ["-m", "celery", "--app=benchmarks.plugin_task:celery", "worker", "--pool=solo", "--loglevel=INFO"]
    worker = stack.enter_context(stage.Started(*command, "--without-mingle", "--without-gossip", **settings))
    worker.wait_for_line(r"celery@\S+ ready")
    client = stack.enter_context(httpx.Client(base_url=url, timeout=120))

    def publish(space_type: str, tree: Path) -> None:
        body = {"space_type": space_type, "files": _given(tree)}
        answer = client.post("/plugins/publish/process/", json=body)
        assert answer.status_code == 200, answer.text
        task = answer.json()["task"]
        wait_until(lambda: client.get(task).json()["status"] == "SUCCESS", "the task has ended", every=POLL_SECONDS)

    return Way(publish, lambda: [*api.pids, *worker.pids])


def _script(hub_settings: dict[str, str], space_type: str, tree: Path) -> None:
    arguments = ["-m", "benchmarks.publish_script", f"alice/{stage.new_name()}", str(tree), space_type]
    _command([sys.executable, *arguments], PROJECT, hub_settings)


def _upload(hub_settings: dict[str, str], space_type: str, tree: Path) -> None:
    command, repo = str(Path(sys.executable).with_name("hf")), f"alice/{stage.new_name()}"
    if space_type != "gradio":
        _command([command, "repos", "create", repo, "--type", "space", "--sdk", space_type], PROJECT, hub_settings)
    _command([command, "upload", repo, str(tree), ".", "--type", "space"], PROJECT, hub_settings)


def _install_gradio(environment: Path) -> str | None:
    """Installs gradio in an environment of its own; returns why it could not be."""
    try:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, capture_output=True)
        pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "gradio"]
        subprocess.run(pip, check=True, capture_output=True, text=True, timeout=900)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
        return f"gradio could not be installed: {type(problem).__name__}"
    return None


def _deploy(hub_settings: dict[str, str], command: Path, space_type: str, tree: Path) -> None:
    # Without questions: the title in README.md is the name of the Space.
    card = f"---\ntitle: {stage.new_name()}\nsdk: {space_type}\napp_file: app.py\n---\n"
    (tree / "README.md").write_text(card)
    _command([str(command), "deploy"], tree, hub_settings)


def _command(command: list[str], folder: Path, hub_settings: dict[str, str]) -> None:
    """Runs a command to its end, and notes its peak of memory."""
    with _running(command, folder, hub_settings) as process:
        while process.poll() is None:
            _peak.mib = max(_peak.mib, _peak_of(process.pid))
            time.sleep(POLL_SECONDS)
        output = process.communicate()[0]
    assert process.returncode == 0, output


@contextmanager
def _running(command: list[str], folder: Path, hub_settings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    ours = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    quiet = {name: value for name, value in stage.QUIET.items() if name.startswith(("HF_", "NO_PROXY"))}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**ours, **quiet, **hub_settings, "PYTHONPATH": str(PROJECT), "GRADIO_ANALYTICS_ENABLED": "False"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _goals(rows: list[dict[str, Any]]) -> list[Goal]:
    goals = []
    measured = [row for row in rows if row["seconds"] is not None]
    for space_type, latency in sorted({(row["Space"], row["ms per call"]) for row in measured}):
        of_case = {row["way"]: row for row in measured if (row["Space"], row["ms per call"]) == (space_type, latency)}
        own = of_case.pop(ASSEMBLER)
        about = f"{space_type} Space, {latency} ms per call"
        others = of_case.values()
        fewest = min(row["requests"] for row in others)
        fastest = min(row["seconds"] for row in others)
        goals += [
            Goal(f"{about}: Hub requests ÷ fewest of the others", own["requests"] / fewest, 1, at_least=False),
            Goal(f"{about}: commits", own["commits"], 1, at_least=False),
            Goal(f"{about}: seconds ÷ fastest of the others", round(own["seconds"] / fastest, 2), 1, False, WHY),
        ]
    return goals
