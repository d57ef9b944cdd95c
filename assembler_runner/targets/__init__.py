"""Targets: where Spaces are published. A Hub, or git repositories on this machine."""

from assembler_runner.targets.base import (
    Allowance,
    CommitInfo,
    FirstCommit,
    Head,
    LiveFile,
    LogLine,
    LogReader,
    Machine,
    PublishedSpace,
    Runtime,
    SpaceSpec,
    Target,
)

__all__ = [
    "Allowance",
    "CommitInfo",
    "FirstCommit",
    "Head",
    "LiveFile",
    "LogLine",
    "LogReader",
    "Machine",
    "PublishedSpace",
    "Runtime",
    "SpaceSpec",
    "Target",
]
