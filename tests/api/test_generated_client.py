"""A client that openapi-python-client generates from the document creates, lists and reads Spaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.services import PASSWORD, Client, Process

PROGRAM = """
import importlib, json, pkgutil, sys
import generated
for module in pkgutil.walk_packages(generated.__path__, "generated."):
    importlib.import_module(module.name)
from generated.api.spaces import get_space, list_spaces, submit_space
from generated.models import Space, SpaceInput
client = generated.AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
body = SpaceInput.from_dict({"space_type": "static", "files": {"index.html": "x"}, "name": "typed"})
made = submit_space.sync(client=client, body=body)
found = list_spaces.sync(client=client, filtername="typed", pagelimit=5)
other = list_spaces.sync(client=client, filtername="nothing")
read = get_space.sync(str(made.id), client=client)
assert isinstance(read, Space)
print(json.dumps([made.name, [space.name for space in found.data], len(other.data), read.space_type]))
"""


@pytest.mark.slow
def test_a_generated_client_works(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"ADMIN_PASSWORD": PASSWORD, "APPS": "off"}
    arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path / "instance"))
    with Process(*arguments, **settings) as service:
        url = service.wait_for_line(r"ready at (\S+)")[1]
        (tmp_path / "document.json").write_bytes(httpx.get(f"{url}/api-spec.json").content)
        (tmp_path / "config.yml").write_text("package_name_override: generated\npost_hooks: []\n")
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
        command += ["--path", "document.json", "--config", "config.yml", "--output-path", "generated"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
        with Client(url) as client:
            token = client.token
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url, token],
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["typed", ["typed"], 0, "static"]
