"""Broken apps: what they consist of, how they fail on a Hub, and when they are repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assembler_runner.devhub import Repo, Stage, StandInHub

Tree = Mapping[str, str]
LAUNCH = "gr.Interface(str, 'text', 'text').launch()\n"
GRADIO = f"import gradio as gr\n{LAUNCH}"
CARD = "---\ntitle: T\nsdk: gradio\napp_file: app.py\n{}---\n# x\n"


@dataclass(frozen=True)
class Broken:
    """An app that does not run.

    Args:
        name: a short name.
        files: its files.
        repaired: whether a tree is that of the repaired app.
        log: what the app or its build writes; empty for an app that is refused before it is published.
        kind: of that log.
        space_type: its type, or None.
    """

    name: str
    files: Mapping[str, str]
    repaired: Callable[[Tree], bool]
    log: tuple[str, ...] = ()
    kind: str = "run"
    space_type: str | None = "gradio"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that publish it."""
        named = {"space_type": self.space_type} if self.space_type else {}
        return {"files": dict(self.files), **named}


def lines_of(tree: Tree, path: str = "requirements.txt") -> list[str]:
    return tree.get(path, "").split("\n")


def _missing(module: str, requirement: str) -> Broken:
    app = f"import gradio as gr\nimport {module}\n{LAUNCH}"
    log = ("Traceback (most recent call last):", '  File "/home/user/app/app.py", line 2, in <module>')
    log += (f"    import {module}", f"ModuleNotFoundError: No module named '{module}'")
    files = {"app.py": app, "requirements.txt": "requests\n"}
    return Broken(f"module-{module}", files, lambda tree: requirement in [line.lower() for line in lines_of(tree)], log)


def _pinned(name: str, error: tuple[str, ...], pin: str, requirements: str) -> Broken:
    log = ("Traceback (most recent call last):", '  File "/home/user/app/app.py", line 1, in <module>', *error)
    files = {"app.py": GRADIO, "requirements.txt": requirements}
    return Broken(name, files, lambda tree: pin in lines_of(tree), log)


def _requirement(name: str, line: str, *gone: str) -> Broken:
    files = {"app.py": GRADIO, "requirements.txt": f"requests\n{line}\n"}
    return Broken(name, files, lambda tree: not set(gone or (line,)) & set(lines_of(tree)))


def _card(name: str, line: str) -> Broken:
    files = {"app.py": GRADIO, "README.md": CARD.format(f"{line}\n")}
    return Broken(name, files, lambda tree: line not in lines_of(tree, "README.md"))


def _docker(name: str, dockerfile: str, gone: str) -> Broken:
    files = {"Dockerfile": dockerfile, "server.py": "print(1)\n"}
    return Broken(name, files, lambda tree: gone not in tree["Dockerfile"], space_type="docker")


BROKEN: tuple[Broken, ...] = (
    _missing("cv2", "opencv-python-headless"),
    _missing("yaml", "pyyaml"),
    _missing("sklearn", "scikit-learn"),
    _missing("bs4", "beautifulsoup4"),
    _missing("dotenv", "python-dotenv"),
    _missing("skimage", "scikit-image"),
    _missing("pandas", "pandas"),
    _missing("plotly", "plotly"),
    _pinned(
        "httpx-proxies",
        ("TypeError: Client.__init__() got an unexpected keyword argument 'proxies'",),
        "httpx<0.28",
        "openai==1.30.0\n",
    ),
    _requirement("pip-install", "pip install numpy"),
    _requirement("python-version", "python==3.10"),
    _requirement("standard-library", "sqlite3"),
    _requirement("renamed", "sklearn"),
    _requirement("own-computer", "numpy @ file:///D:/bld/numpy_1610/pkg"),
    _requirement("windows-only", "pywin32==306"),
    _card("base-path", "base_path: docs"),
    _card("pinned", 'pinned: "false"'),
    _requirement("conda", "numpy=1.26.4=py312h_0"),
    _card("list", "tags: chat"),
    Broken(
        "packages-line-ends",
        {"app.py": GRADIO, "packages.txt": "ffmpeg\r\nlibsndfile1\r\n"},
        lambda tree: "\r" not in tree["packages.txt"],
    ),
    Broken(
        "packages-comment",
        {"app.py": GRADIO, "packages.txt": "# for videos\nffmpeg\n"},
        lambda tree: "#" not in tree["packages.txt"],
    ),
    _docker("quotes", "FROM python:3.12\nCOPY . .\nCMD ['python', 'server.py']\n", "['python'"),
    _docker("platform", "FROM --platform=linux/arm64 python:3.12\nCOPY . .\nCMD python server.py\n", "arm64"),
    _docker(
        "apt",
        "FROM python:3.12\nRUN apt-get update && apt-get install ffmpeg\nCMD python server.py\n",
        "install ffmpeg",
    ),
)
BY_NAME = {case.name: case for case in BROKEN}


def judge(hub: StandInHub) -> None:
    """Makes a stand-in Hub build what is committed: an app that is not repaired fails with its log."""

    def rebuild(repo: Repo) -> None:
        case = BY_NAME.get(repo.id.partition("/")[2].rpartition("--")[0].removeprefix("broken-"))
        case = case or BY_NAME.get(repo.id.partition("/")[2].removeprefix("broken-").rpartition("-")[0])
        tree = {path: hub.state.content(file).decode("utf-8", "replace") for path, file in repo.head.tree.items()}
        if case is None or not case.log or case.repaired(tree):
            return original(repo)
        repo.logs["run"].clear()
        repo.log("run", *case.log)
        failed = Stage("RUNTIME_ERROR", error="Exit code: 1. Reason: application does not start")
        repo.runtime.play([Stage("BUILDING", polls=1), failed])
        return None

    original = hub.state.rebuild
    hub.state.rebuild = rebuild  # type: ignore[method-assign]  # a builder of its own


def text_tree(hub: StandInHub, repo_id: str) -> dict[str, str]:
    """Returns the files of a Space as text."""
    return {path: content.decode("utf-8", "replace") for path, content in hub.tree(repo_id).items()}


def size_of(value: Any) -> int:
    """Returns the number of characters of a value as compact JSON."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
