"""The environment which huggingface_hub must find when it is imported: import this first."""

from __future__ import annotations

import os
import sys

SETTINGS = {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
LOOPBACK = "127.0.0.1,localhost"


def settle() -> None:
    """Set the environment; complain if huggingface_hub was imported before with another one."""
    if "huggingface_hub" in sys.modules and os.environ.get("HF_HUB_DISABLE_XET") != "1":
        raise RuntimeError("Import tests.support.client_env before huggingface_hub")
    os.environ.update(SETTINGS)
    for name in ("NO_PROXY", "no_proxy"):
        hosts = os.environ.get(name)
        os.environ[name] = f"{hosts},{LOOPBACK}" if hosts and LOOPBACK not in hosts else hosts or LOOPBACK


settle()
