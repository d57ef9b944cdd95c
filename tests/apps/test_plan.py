"""From the tree of a Space to requirements, command and port."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.apps.plan import Plan, make_plan, on_loopback
from assembler_runner.apps.recipe import NotRunnable, Step
from assembler_runner.assembly.assemble import assemble
from assembler_runner.assembly.registry import Registry
from assembler_runner.core.places import PROJECT
from assembler_runner.files.tree import SpaceFile, Tree


def tree_of(**files: str) -> Tree:
    named = {name.replace("__", "."): text for name, text in files.items()}
    return Tree({path: SpaceFile(path, text.encode()) for path, text in named.items()})


def plan_of(space_type: str, files: dict[str, bytes] | None = None, **more: Any) -> Plan:
    registry = Registry()
    registry.load_folders([PROJECT / "plugins"])
    plugin = registry.get(space_type)
    assert plugin is not None
    made = assemble(plugin, files or {}, **more)
    assert made.errors == []
    return make_plan(made.tree)


def test_a_gradio_space() -> None:
    plan = plan_of("gradio", template="image", options={"sdk_version": "6.0.0", "python_version": "3.13"})
    assert plan.python == "3.13" and plan.command == ("python", "app.py")
    assert plan.steps == (Step(("requirements.txt",), ("gradio==6.0.0",)),)
    assert plan.variables == {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7860"}


def test_a_streamlit_space() -> None:
    plan = plan_of("streamlit", template="dashboard")
    assert plan.command[:3] == ("streamlit", "run", "app.py") and plan.port == 7860
    assert plan.python == "3.12"


def test_a_docker_space_with_a_port_of_its_own() -> None:
    plan = plan_of("docker", {"main.py": b"print(1)\n"}, options={"app_file": "main.py", "app_port": 8000})
    assert (plan.command, plan.port, plan.folder) == (("python", "main.py"), 8000, "/app")


def test_a_static_space() -> None:
    assert plan_of("static", template="landing").kind == "static"


@pytest.mark.parametrize(("named", "seconds"), [("30m", 1800.0), ("1h", 3600.0), ("45", 45.0), ("soon", 300.0)])
def test_the_time_to_start(named: str, seconds: float) -> None:
    card = f"---\nsdk: gradio\nstartup_duration_timeout: {named}\n---\n"
    assert make_plan(tree_of(README__md=card, app__py="")).start_seconds == seconds


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"README__md": "---\nsdk: gradio\n---\n"}, "app.py"),
        ({"README__md": "---\nsdk: docker\n---\n"}, "Dockerfile"),
        ({"README__md": "no card"}, "sdk"),
        ({}, "sdk"),
    ],
)
def test_a_tree_that_tells_nothing_is_not_run(files: dict[str, str], told: str) -> None:
    with pytest.raises(NotRunnable, match=told):
        make_plan(tree_of(**files))


def test_what_the_requirements_name() -> None:
    card = "---\nsdk: gradio\n---\n"
    plain = make_plan(tree_of(README__md=card, app__py="", requirements__txt="requests\n"))
    local = make_plan(tree_of(README__md=card, app__py="", requirements__txt="-r more.txt\n", packages__txt="git\n"))
    assert (plain.local_requirements, plain.packages_txt) == (False, False)
    assert (local.local_requirements, local.packages_txt) == (True, True)


def test_nothing_listens_on_other_interfaces() -> None:
    made = on_loopback(plan_of("streamlit", template="dashboard"), 9000)
    assert "--server.port=9000" in made.command and "--server.address=127.0.0.1" in made.command
    served = on_loopback(plan_of("docker", template="flask"), 9000)
    assert "127.0.0.1:9000" in served.command and served.variables["PORT"] == "9000"
    assert on_loopback(plan_of("gradio", template="text"), 9000).variables["GRADIO_SERVER_PORT"] == "9000"
