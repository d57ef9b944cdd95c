"""Where Spaces are published to: a Hub, or git repositories of this service's own."""

from assembler_runner.targets.base import CommitInfo, Head, PublishedSpace, SpaceSpec, Target

__all__ = ["CommitInfo", "Head", "PublishedSpace", "SpaceSpec", "Target"]
