"""Calls made from the OpenAPI document by schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.fuzz.odd_calls import MAX_SECONDS

# The Hub is hostile meanwhile: 502 and 503 report what it did.
CONFIG = """
[checks]
enabled = false
not_a_server_error = {enabled = true, expected-statuses = ["2xx", "3xx", "4xx", 502, 503]}
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_schema_conformance.enabled = true
"""
ENDINGS = r"^/auth/(token|users/@me)"
"""Paths that would end the login of the fuzzer."""


def start(url: str, token: str, seconds: float, seed: int, folder: Path) -> subprocess.Popen[str]:
    """Starts schemathesis on the whole document.

    Args:
        url: the service.
        token: an access token.
        seconds: how long it may take.
        seed: makes it repeatable.
        folder: for its settings, its report, and what it remembers.
    Returns:
        The process; its output and exit code say what it found.
    """
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{url}/api-spec.json", "-H", f"Authorization: Bearer {token}", "--exclude-path-regex", ENDINGS),
        *("--phases", "examples,coverage,fuzzing", "--max-time", str(int(seconds)), "--seed", str(seed)),
        *("--request-timeout", str(MAX_SECONDS), "--continue-on-failure", "--warnings", "off"),
        *("--no-color",),
    ]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
