"""The interface of a target. The pipeline decides what is done when; a target performs single steps and queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

from assembler_runner.files.tree import Tree
from assembler_runner.targets.existing import KnowsExisting


@dataclass(frozen=True)
class SpaceSpec:
    """The arguments of a create call.

    Args:
        namespace: user or organisation; None for the token's own account.
        name: name of the Space.
        sdk: `gradio`, `docker` or `static`.
        visibility: `public`, `private` or `protected`.
        hardware: hardware flavor, or None for the free one.
        sleep_time: seconds without use until the app sleeps, or None.
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
    """The names of a Space on its target.

    Args:
        namespace: user or organisation that owns it.
        name: its name.
        url: the URL of its page; starts with `/` for a page of this service.
    """

    namespace: str
    name: str
    url: str


@dataclass(frozen=True)
class Head:
    """The head of a Space's history.

    Args:
        oid: id of the newest commit, or None without commits.
        paths: paths of all files.
        created_at: when the Space was created, by the target's clock; None if the target does not report it.
        space: the Space under its current name if it was renamed; else None.
    """

    oid: str | None
    paths: frozenset[str]
    created_at: datetime | None = None
    space: PublishedSpace | None = None


@dataclass(frozen=True)
class LiveFile:
    """A file of a commit on a target.

    Args:
        content_id: an id of the content; within one target, ids are equal if and only if contents are.
        size: size in bytes.
    """

    content_id: str
    size: int


@dataclass(frozen=True)
class Machine:
    """The hardware of a Space.

    Args:
        stage: the target's name for the stage of the app, such as RUNNING.
        hardware: the hardware flavor requested last, or None.
        sleep_time: seconds without use until the app sleeps, or None for never.
    """

    stage: str
    hardware: str | None
    sleep_time: int | None


@dataclass(frozen=True)
class CommitInfo:
    """A commit.

    Args:
        oid: its id.
        url: the URL of its page; starts with `/` for a page of this service.
        message: title and description.
    """

    oid: str
    url: str
    message: str = ""


@dataclass(frozen=True)
class Runtime:
    """A target's report about an app.

    Args:
        stage: the target's name for the stage of the app, such as RUNNING.
        commit: the commit that the stage belongs to, or None if the target does not report it.
        message: the target's error message, or None.
    """

    stage: str
    commit: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Allowance:
    """The rate of probes that a target allows, so that enough of the rate limit remains for publishing.

    Args:
        wait: seconds without any probe.
        gap: minimum seconds between two probes of an account, over all its Spaces.
    """

    wait: float = 0.0
    gap: float = 0.0


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Args:
        timestamp: when it was written, by the target's clock, or None.
        text: the line without a newline.
    """

    timestamp: datetime | None
    text: str

    def to_json(self) -> dict[str, str | None]:
        """Returns the form of the API."""
        return {"timestamp": self.timestamp.isoformat() if self.timestamp else None, "text": self.text}


class LogReader:
    """A reader of a log; must be closed. This base class has no lines.

    Args:
        note: the reason why there is nothing to read, or None.
    """

    def __init__(self, note: str | None = None) -> None:
        self.note = note

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return True

    def read(self, timeout: float) -> LogLine | None:
        """Returns the next line; None if none arrives in time or all were read.

        Args:
            timeout: maximum seconds to wait.
        Raises:
            TargetError: the target does not respond, or refuses the call.
        """
        return None

    def close(self) -> None:
        """Stops reading; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class FirstCommit:
    """The prepared first commit of a new Space.

    Args:
        head: :meth:`Target.head` of the Space.
        commit: :meth:`Target.commit` without its first two arguments; may be called once.
    """

    head: Callable[[], Head]
    commit: Callable[..., CommitInfo]


class Target(KnowsExisting, ABC):
    """A place to publish Spaces to. All methods raise only errors from `assembler_runner.core.errors`."""

    name: ClassVar[str]
    own_files: ClassVar[frozenset[str]] = frozenset({".gitattributes"})
    """Files of a Space that belong to the target; publishing does not delete them."""

    initial_commits: ClassVar[int] = 1
    """Number of commits that the target itself makes in a new Space."""

    @property
    def account(self) -> str | None:
        """An identifier, without the token, of the account whose creations must not overlap; None if they may."""
        return None

    @abstractmethod
    def create(self, spec: SpaceSpec) -> PublishedSpace:
        """Creates a Space in one call.

        Raises:
            NameTaken: a Space with this name exists.
            TargetError: the target does not respond, or refuses the call.
        """

    @abstractmethod
    def find(self, namespace: str | None, name: str) -> PublishedSpace | None:
        """Returns the Space with this name, or None."""

    @abstractmethod
    def head(self, space: PublishedSpace) -> Head:
        """Reads the head of the history.

        Raises:
            TargetNotFound: the Space does not exist.
        """

    @abstractmethod
    def commits(self, space: PublishedSpace) -> list[CommitInfo]:
        """Reads the latest commits, newest first; the target's own initial commit is the last one."""

    @contextmanager
    def first_commit(self, space: PublishedSpace, tree: Tree) -> Iterator[FirstCommit]:
        """Prepares the first commit, in parallel to the caller's recording of the new Space.

        Args:
            space: a Space that was just created, so that no other client changes it.
            tree: the files.
        Yields:
            The functions that read the head and make the commit.
        """
        yield FirstCommit(partial(self.head, space), partial(self.commit, space, tree))

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
            HeadMoved: `parent` is no longer the newest commit.
            TargetUnavailable: the response was lost; read the commits before a retry.
        """

    @abstractmethod
    def delete(self, space: PublishedSpace) -> None:
        """Deletes the Space with all its content; does nothing if it does not exist."""

    @abstractmethod
    def set_visibility(self, space: PublishedSpace, visibility: str) -> None:
        """Makes a Space `public`, `private` or `protected`.

        Raises:
            TargetNotFound: the Space does not exist.
        """

    @abstractmethod
    def files_at(self, space: PublishedSpace, oid: str) -> dict[str, LiveFile]:
        """Lists the files of a commit by path.

        Raises:
            TargetNotFound: the Space or the commit does not exist.
        """

    @abstractmethod
    def open_file(self, space: PublishedSpace, path: str, oid: str) -> AbstractContextManager[BinaryIO]:
        """Opens one file of a commit for reading.

        Raises:
            TargetNotFound: the Space, the commit or the file does not exist.
        """

    @abstractmethod
    def variables(self, space: PublishedSpace) -> dict[str, str]:
        """Reads the public environment variables."""

    @abstractmethod
    def set_variable(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """Sets a public environment variable; None removes it."""

    @abstractmethod
    def move(self, space: PublishedSpace, namespace: str, name: str) -> PublishedSpace:
        """Renames a Space.

        Raises:
            NameTaken: a Space with that name exists.
            TargetNotFound: the Space does not exist.
        """

    runs_apps: bool = True
    """Whether the target runs apps; if not, the methods from `set_secret` to `pause` are not called."""

    def set_secret(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """Sets a secret environment variable; None removes it."""
        raise NotImplementedError

    def machine(self, space: PublishedSpace) -> Machine:
        """Reads the hardware of a Space."""
        raise NotImplementedError

    def set_hardware(self, space: PublishedSpace, flavor: str, sleep_time: int | None) -> None:
        """Changes the hardware of the app.

        Args:
            space: the Space.
            flavor: the hardware flavor.
            sleep_time: seconds without use until the app sleeps; None for the target's default.
        Raises:
            PaymentRequired: the account cannot pay for the hardware.
        """
        raise NotImplementedError

    def set_sleep_time(self, space: PublishedSpace, seconds: int) -> None:
        """Sets the seconds without use until the app sleeps."""
        raise NotImplementedError

    def restart(self, space: PublishedSpace, *, factory: bool = False) -> None:
        """Restarts the app, also if it sleeps or is paused; with `factory` it is built from scratch."""
        raise NotImplementedError

    def pause(self, space: PublishedSpace) -> None:
        """Pauses the app until it is restarted."""
        raise NotImplementedError

    @abstractmethod
    def runtime(self, space: PublishedSpace) -> Runtime:
        """Queries the stage of the app.

        Raises:
            TargetNotFound: the Space does not exist.
            TargetError: the target does not respond, or refuses the call.
        """

    @abstractmethod
    def read_log(self, space: PublishedSpace, kind: str, tail: int, *, follow: bool = False) -> LogReader:
        """Opens a log.

        Args:
            space: the Space.
            kind: `build` or `run`.
            tail: maximum number of existing lines.
            follow: whether to continue with new lines.
        Returns:
            A reader, which the caller must close.
        """

    def allowance(self) -> Allowance:
        """Returns how often apps may be probed at present."""
        return Allowance()

    @abstractmethod
    def state_after_commit(self, sdk: str) -> str:
        """Returns the state of a Space right after a commit."""
