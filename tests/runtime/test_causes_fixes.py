"""Fixes of causes: applied to the files they are for, they repair what the log says; elsewhere there is none."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from assembler_runner.core.fixes import Fix, FixDoesNotFit, apply
from assembler_runner.runtime.causes import Problem, diagnose

TIMEOUT = "Launch timed out, workload was not healthy after 30 min"
CARD = "---\ntitle: Demo\nsdk: docker\n---\n\n# Demo\n"
APP = "import gradio as gr\n"


def raised(line: str, number: int = 1) -> list[str]:
    return ["Traceback (most recent call last):", f'  File "/home/user/app/app.py", line {number}, in <module>', line]


def fix_of(problem: Problem) -> Fix:
    assert problem.fix is not None, problem
    return problem.fix


def fixed(problem: Problem, files: Mapping[str, str | None]) -> dict[str, str | bytes]:
    return apply({path: text for path, text in files.items() if text is not None}, fix_of(problem))


def test_a_missing_package_is_added() -> None:
    files = {"app.py": APP, "requirements.txt": "numpy"}
    found = diagnose(raised("ModuleNotFoundError: No module named 'cv2'"), files=files)
    assert fixed(found, files)["requirements.txt"] == "numpy\nopencv-python-headless\n"
    assert fix_of(found).safe


def test_names_alone_are_enough_to_add_a_package() -> None:
    found = diagnose(raised("ModuleNotFoundError: No module named 'yaml'"), files=["app.py", "requirements.txt"])
    assert fix_of(found).edits[0].new == "PyYAML"


@pytest.mark.parametrize(
    ("module", "files"),
    [
        ("some_rare_module", {"app.py": APP, "requirements.txt": ""}),
        ("google", {"app.py": APP, "requirements.txt": ""}),
        ("clip", {"app.py": APP, "requirements.txt": ""}),
        ("yaml", {"app.py": APP, "requirements.txt": "pyyaml>=6\n"}),
        ("yaml", {"app.py": APP, "Dockerfile": "FROM python:3.12\n"}),
        ("moviepy.editor", {"app.py": APP, "requirements.txt": "moviepy\n"}),
    ],
)
def test_where_no_line_is_certain_no_fix_is_offered(module: str, files: dict[str, str]) -> None:
    assert diagnose(raised(f"ModuleNotFoundError: No module named '{module}'"), files=files).fix is None


def test_an_extra_is_added_to_the_line_that_exists() -> None:
    files = {"app.py": APP, "requirements.txt": "gradio==5.49.1\nnumpy\n"}
    line = "ImportError: In order to use `mcp_server=True`, you must install gradio with the `mcp` extra."
    assert fixed(diagnose(raised(line), files=files), files)["requirements.txt"] == "gradio[mcp]==5.49.1\nnumpy\n"


def test_a_line_that_is_no_package_is_deleted() -> None:
    files = {"app.py": APP, "requirements.txt": "numpy\nsqlite3\ntorch\n"}
    found = diagnose("ERROR: No matching distribution found for sqlite3", "build", files=files)
    assert fixed(found, files)["requirements.txt"] == "numpy\ntorch\n"


def test_another_package_is_written() -> None:
    files = {"app.py": APP, "requirements.txt": "sklearn\n"}
    found = diagnose("      The 'sklearn' PyPI package is deprecated, use 'scikit-learn'", "build", files=files)
    assert fixed(found, files)["requirements.txt"] == "scikit-learn\n"


def test_a_version_is_pinned_only_where_the_text_is_known() -> None:
    log = raised("ValueError: numpy.dtype size changed, may indicate binary incompatibility.")
    files = {"app.py": APP, "requirements.txt": "numpy>=2\npandas\n"}
    found = diagnose(log, files=files)
    assert fixed(found, files)["requirements.txt"] == "numpy<2\npandas\n"
    assert not fix_of(found).safe
    assert diagnose(log, files=["app.py", "requirements.txt"]).fix is None


def test_the_failing_line_is_replaced() -> None:
    files = {"app.py": "from PIL import Image\nimage = image.resize((9, 9), Image.ANTIALIAS)\n", "requirements.txt": ""}
    found = diagnose(raised("AttributeError: module 'PIL.Image' has no attribute 'ANTIALIAS'", 2), files=files)
    assert fixed(found, files)["app.py"] == "from PIL import Image\nimage = image.resize((9, 9), Image.LANCZOS)\n"


def test_spaces_is_imported_first() -> None:
    files = {"app.py": '"""Demo."""\nimport torch\nimport spaces\n\nx = 1\n', "requirements.txt": ""}
    log = raised("RuntimeError: CUDA has been initialized before importing the `spaces` package", 3)
    assert fixed(diagnose(log, files=files), files)["app.py"] == '"""Demo."""\nimport spaces\nimport torch\n\nx = 1\n'


def test_a_debian_package_is_added_for_gradio_only() -> None:
    log = raised("ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
    found = diagnose(log, files=["app.py"], space_type="gradio")
    assert apply({}, fix_of(found)) == {"packages.txt": "libgl1\n"}
    assert diagnose(log, files=["app.py", "Dockerfile"], space_type="docker").fix is None


def test_comments_leave_packages_txt() -> None:
    files = {"app.py": APP, "packages.txt": "# for audio\nffmpeg\nlibgl1 # pictures\n"}
    log = "E: Unable to locate package #\nE: Unable to locate package for"
    assert fixed(diagnose(log, "build", files=files), files)["packages.txt"] == "ffmpeg\nlibgl1\n"


def test_a_renamed_debian_package_is_written() -> None:
    files = {"app.py": APP, "packages.txt": "ffmpeg\nlibgl1-mesa-glx\n"}
    log = "E: Package 'libgl1-mesa-glx' has no installation candidate"
    assert fixed(diagnose(log, "build", files=files), files)["packages.txt"] == "ffmpeg\nlibgl1\n"


def test_a_script_gets_line_ends_of_unix() -> None:
    files = {"Dockerfile": "FROM python:3.12\n", "start.sh": "#!/bin/sh\r\npython app.py\r\n"}
    found = diagnose("exec /app/start.sh: no such file or directory", files=files)
    assert fixed(found, files)["start.sh"] == "#!/bin/sh\npython app.py\n"
    assert (
        diagnose("exec /app/start.sh: no such file or directory", files={**files, "start.sh": "#!/bin/bash\n"}).fix
        is None
    )


def test_the_port_is_written_into_the_card() -> None:
    files = {"Dockerfile": "FROM node\n", "README.md": CARD}
    log = "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)"
    found = diagnose(log, said=TIMEOUT, files=files, space_type="docker", card={"sdk": "docker"})
    assert fixed(found, files)["README.md"] == CARD.replace("sdk: docker\n", "sdk: docker\napp_port: 8000\n")
    files["README.md"] = CARD.replace("sdk: docker\n", "sdk: docker\napp_port: 7860\n")
    found = diagnose(log, said=TIMEOUT, files=files, space_type="docker", card={"sdk": "docker", "app_port": 7860})
    assert "app_port: 8000" in str(fixed(found, files)["README.md"])


def test_a_slow_start_gets_more_time_only_where_the_port_is_right() -> None:
    files = {"Dockerfile": "FROM node\n", "README.md": CARD}
    log = "INFO:     Uvicorn running on http://0.0.0.0:7860 (Press CTRL+C to quit)\nDownloading: 20%"
    found = diagnose(log, said=TIMEOUT, files=files)
    assert "startup_duration_timeout: 1h\n---" in str(fixed(found, files)["README.md"])
    assert not fix_of(found).safe
    assert diagnose("Downloading: 20%", said=TIMEOUT, files=files).fix is None


def test_a_module_that_left_python_has_a_successor() -> None:
    files = {"app.py": APP, "requirements.txt": "pydub\n"}
    found = diagnose(raised("ModuleNotFoundError: No module named 'pyaudioop'"), files=files)
    assert (found.code, fixed(found, files)["requirements.txt"]) == ("wrong_python", "pydub\naudioop-lts\n")


def test_oauth_is_switched_on_in_the_card() -> None:
    files = {"app.py": APP, "README.md": CARD}
    found = diagnose(
        raised("ValueError: OAuth is required but OAUTH_CLIENT_ID environment variable is not set"), files=files
    )
    assert "hf_oauth: true\n---" in str(fixed(found, files)["README.md"])


def test_without_texts_the_port_is_an_option() -> None:
    log = "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)"
    found = diagnose(log, said=TIMEOUT, files=["Dockerfile", "README.md"], space_type="docker")
    assert (fix_of(found).edits, fix_of(found).options) == ((), {"app_port": 8000})


def test_the_host_is_changed_where_it_is_named_once() -> None:
    files = {"Dockerfile": "FROM python\n", "app.py": 'app.run(host="127.0.0.1", port=7860)\n'}
    log = " * Running on http://127.0.0.1:7860"
    found = diagnose(log, said=TIMEOUT, files=files)
    assert found.code == "wrong_host"
    assert fixed(found, files)["app.py"] == 'app.run(host="0.0.0.0", port=7860)\n'
    files["db.py"] = 'connect(host="localhost")\n'
    assert diagnose(log, said=TIMEOUT, files=files).fix is None


def test_a_fix_for_older_files_is_refused() -> None:
    files = {"app.py": APP, "requirements.txt": "numpy\nsqlite3\n"}
    found = diagnose("ERROR: No matching distribution found for sqlite3", "build", files=files)
    with pytest.raises(FixDoesNotFit):
        apply({"requirements.txt": "sqlite3\nnumpy\n"}, fix_of(found))
