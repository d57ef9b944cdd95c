"""Where Spaces are published to: a Hub, or git repositories of this service's own."""

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
