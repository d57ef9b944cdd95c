"""What a target can do. The pipeline decides what is done when; a target only does single steps and reads back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from assembler_runner.plugin import Tree


@dataclass(frozen=True)
class SpaceSpec:
    """What one create call carries.

    Args:
        namespace: user or organisation; None for the token's own account.
        name: name of the Space.
        sdk: `gradio`, `docker` or `static`.
        visibility: `public`, `private` or `protected`.
        hardware: flavour of the machine, or None for the free one.
        sleep_time: seconds without use until it sleeps, or None.
        variables: public environment variables.
        secrets: secret environment variables.
    """

    namespace: str | None
    name: str
    sdk: str
    visibility: str = "public"
    hardware: str | None = None
    sleep_time: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class PublishedSpace:
    """A Space as its target names it.

    Args:
        namespace: user or organisation that owns it.
        name: its name.
        url: where people see it; starts with `/` where it is a page of this service.
    """

    namespace: str
    name: str
    url: str


@dataclass(frozen=True)
class Head:
    """The present end of a Space's history.

    Args:
        oid: id of the newest commit, or None where there is none.
        paths: paths of all files.
        created_at: when the Space was made, by the target's clock, or None where it does not tell.
    """

    oid: str | None
    paths: frozenset[str]
    created_at: datetime | None = None


@dataclass(frozen=True)
class CommitInfo:
    """One commit.

    Args:
        oid: its id.
        url: where people see it; starts with `/` where it is a page of this service.
        message: title and description.
    """

    oid: str
    url: str
    message: str = ""


class Target(ABC):
    """One place to publish to. Every method raises only errors of the tree in `assembler_runner.errors`."""

    name: ClassVar[str]
    own_files: ClassVar[frozenset[str]] = frozenset({".gitattributes"})
    """Files the target itself keeps in a Space, which publishing leaves alone."""

    initial_commits: ClassVar[int] = 1
    """How many commits the target itself makes in a new Space."""

    @property
    def account(self) -> str | None:
        """A name for the account whose creations must not overlap, without the token; None if they may."""
        return None

    @abstractmethod
    def create(self, spec: SpaceSpec) -> PublishedSpace:
        """Makes a new Space in one call.

        Raises:
            NameTaken: there is one of that name.
            TargetError: see the tree of errors.
        """

    @abstractmethod
    def find(self, namespace: str | None, name: str) -> PublishedSpace | None:
        """Looks a Space up; None where there is none."""

    @abstractmethod
    def head(self, space: PublishedSpace) -> Head:
        """Reads the present end of the history.

        Raises:
            TargetNotFound: there is no such Space.
        """

    @abstractmethod
    def commits(self, space: PublishedSpace) -> list[CommitInfo]:
        """Reads the newest commits, newest first; the one the target made at creation is the last."""

    @abstractmethod
    def commit(
        self,
        space: PublishedSpace,
        tree: Tree,
        delete: frozenset[str],
        title: str,
        description: str,
        parent: str | None,
    ) -> CommitInfo:
        """Writes the files of the tree and deletes paths, in one commit on top of `parent`.

        Raises:
            HeadMoved: `parent` is not the newest commit any more.
            TargetUnavailable: the answer was lost; look before repeating.
        """

    @abstractmethod
    def delete(self, space: PublishedSpace) -> None:
        """Deletes the Space with everything in it; one that is not there is deleted already."""

    @abstractmethod
    def make_private(self, space: PublishedSpace) -> None:
        """Makes a Space private.

        Raises:
            TargetNotFound: there is no such Space.
        """

    @abstractmethod
    def state_after_commit(self, sdk: str) -> str:
        """Returns the state a Space is in when a commit has just been taken."""
