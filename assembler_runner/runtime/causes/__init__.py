"""Why a Space does not run: causes as data, and the reading of logs by them.

The rules are loaded when the first log is read, so that a service starts without them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from assembler_runner.runtime.causes.problem import BUILD, RUN, UNKNOWN, Excerpt, Problem

__all__ = ["BUILD", "RUN", "UNKNOWN", "Excerpt", "Problem", "diagnose", "diagnose_logs"]


def diagnose(
    log: str | Sequence[str],
    kind: str = RUN,
    *,
    space_type: str | None = None,
    files: Collection[str] | Mapping[str, str | None] = (),
    card: Mapping[str, Any] | None = None,
    stage: str | None = None,
    said: str | None = None,
) -> Problem:
    """Finds the cause of an error.

    Args:
        log: the log, or its last lines; untrusted text, known secrets taken out.
        kind: `build` or `run`.
        space_type: the type that published the Space, or None.
        files: paths of the Space's files, or path → text where texts are known; the texts make more fixes possible.
        card: front matter of README.md.
        stage: the stage in the target's own word, such as BUILD_ERROR.
        said: what the target itself says of the error.
    Returns:
        The cause with its evidence; `exception` or `unknown` where none is known for certain.
    """
    return diagnose_logs({kind: log}, space_type=space_type, files=files, card=card, stage=stage, said=said)


def diagnose_logs(
    logs: Mapping[str, str | Sequence[str]],
    *,
    space_type: str | None = None,
    files: Collection[str] | Mapping[str, str | None] = (),
    card: Mapping[str, Any] | None = None,
    stage: str | None = None,
    said: str | None = None,
) -> Problem:
    """Finds the cause of an error in several logs; the arguments are those of `diagnose`, with kind → log.

    Returns:
        The cause in the log that the stage is about, else in the other one.
    """
    from assembler_runner.runtime.causes.context import make_context
    from assembler_runner.runtime.causes.diagnosis import read

    return read(logs, make_context(files, card, space_type), stage, said)
