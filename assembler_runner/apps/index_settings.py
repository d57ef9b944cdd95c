"""The package index that pip of this machine uses, handed to uv, which does not read pip's configuration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LINE = re.compile(r"^(?P<scope>[\w.:-]+?)\.(?P<name>[a-z-]+)='(?P<value>.*)'$", re.DOTALL)
_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
_COMMA = frozenset(("UV_FIND_LINKS",))
_KEPT = re.compile(r"UV_.*|SSL_CERT_(?:FILE|DIR)|(?:https?|all|no)_proxy|NETRC", re.IGNORECASE)
_SECONDS = 30


def index_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the environment variables with which uv uses the same package index as pip.

    Args:
        environ: the environment; variables of uv in it take precedence.
    """
    own = {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}
    # pip takes the best version of all indexes; uv by default only uses the first one that has the package.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **translated(_pip_config()), **own}


def translated(config: str) -> dict[str, str]:
    """Returns pip's configuration as variables of uv.

    Args:
        config: the output of `pip config list`; for install alone settings take precedence, then the environment.
    """
    found: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):
        for line in config.splitlines():
            match = _LINE.match(line)
            if match is None or match["scope"] != scope or match["name"] not in _TO_UV:
                continue
            name, values = _TO_UV[match["name"]], match["value"].replace("\\n", " ").split()
            if values:
                found[name] = (",".join(values) if name in _COMMA else " ".join(values)).strip()
    return found


def local_folders(variables: Mapping[str, str]) -> list[Path]:
    """Returns the files and folders of this machine that the variables name, so that a sandbox can contain them.

    Args:
        variables: variables as of :func:`index_variables`.
    """
    found = []
    for name in (*_TO_UV.values(), "SSL_CERT_DIR", "NETRC", "UV_CONFIG_FILE"):
        for word in re.split(r"[,\s]+", variables.get(name, "")):
            address = urlsplit(word)
            path = unquote(address.path) if address.scheme == "file" else word if word.startswith("/") else ""
            if path and Path(path).exists():
                # The pages of an index usually link to files beside them.
                found.append(Path(path).parent if Path(path).name == "simple" else Path(path))
    return list(dict.fromkeys(found))


@cache
def _pip_config() -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
