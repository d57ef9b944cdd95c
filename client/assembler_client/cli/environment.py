"""Whether the caller is an agent, by its environment; imports nothing, because every command asks."""

from __future__ import annotations

import os
from collections.abc import Mapping

_SIGNS: Mapping[str, str] = {
    "CLAUDECODE": "claude-code",
    "CODEX_SANDBOX": "codex",
    "CODEX_THREAD_ID": "codex",
    "GEMINI_CLI": "gemini-cli",
    "CURSOR_AGENT": "cursor",
    "OPENCODE": "opencode",
    "COPILOT_CLI": "copilot",
    "AI_AGENT": "agent",
}
"""Variable that an agent sets for its commands → name of the agent."""


def agent_name() -> str | None:
    """Returns the name of the agent whose environment this is; None for a person or a script."""
    for variable, name in _SIGNS.items():
        if os.environ.get(variable):
            return os.environ[variable][:40] if variable == "AI_AGENT" else name
    return None
