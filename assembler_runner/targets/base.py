"""What a target can do. The pipeline decides what is done when; a target only does single steps and reads back."""

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
        space: the Space under the name that it has now, where it was renamed; else None.
    """

    oid: str | None
    paths: frozenset[str]
    created_at: datetime | None = None
    space: PublishedSpace | None = None


@dataclass(frozen=True)
class LiveFile:
    """A file as it stands on a target.

    Args:
        content_id: the same exactly when the content is the same, within one target.
        size: size in bytes.
    """

    content_id: str
    size: int


@dataclass(frozen=True)
class Machine:
    """What a Space runs on.

    Args:
        stage: what the app is doing, in the target's own word, such as RUNNING.
        hardware: flavour that was asked for last, or None.
        sleep_time: seconds without use until it sleeps, or None for never.
    """

    stage: str
    hardware: str | None
    sleep_time: int | None


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


@dataclass(frozen=True)
class Runtime:
    """What a target says of a running app.

    Args:
        stage: its stage, in the target's own word, such as RUNNING.
        commit: the commit that the stage is about, or None where the target does not tell.
        message: what the target says of an error, or None.
    """

    stage: str
    commit: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Allowance:
    """What a target leaves to looking at running apps, so that publishing is not held up.

    Args:
        wait: seconds in which nothing should be looked at.
        gap: seconds between two looks of one account, over all its Spaces.
    """

    wait: float = 0.0
    gap: float = 0.0


@dataclass(frozen=True)
class LogLine:
    """One line of a log.

    Args:
        timestamp: when it was written, by the target's clock, or None.
        text: the line without its end.
    """

    timestamp: datetime | None
    text: str

    def to_json(self) -> dict[str, str | None]:
        """Returns the line as the API shows it."""
        return {"timestamp": self.timestamp.isoformat() if self.timestamp else None, "text": self.text}


class LogReader:
    """The lines of a log as they come. This one has none; closing it frees everything it holds.

    Args:
        note: why there is nothing to read, or None.
    """

    def __init__(self, note: str | None = None) -> None:
        self.note = note

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return True

    def read(self, timeout: float) -> LogLine | None:
        """Returns the next line, or None if none comes in time or all were read.

        Args:
            timeout: seconds to wait at most.
        Raises:
            TargetError: see the tree of errors.
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
    """The first commit of a new Space, under way.

    Args:
        head: :meth:`Target.head` of it.
        commit: :meth:`Target.commit` without its first two arguments, once.
    """

    head: Callable[[], Head]
    commit: Callable[..., CommitInfo]


class Target(ABC):
    """One place to publish to. Every method raises only errors of the tree in `assembler_runner.core.errors`."""

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

    @contextmanager
    def first_commit(self, space: PublishedSpace, tree: Tree) -> Iterator[FirstCommit]:
        """Begins what comes before the first commit, all at once, while the caller writes down that the Space is there.

        Args:
            space: a Space that was just made: nobody else changes it meanwhile.
            tree: the files.
        Yields:
            What asks for the newest commit, and what makes the next one.
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
            HeadMoved: `parent` is not the newest commit any more.
            TargetUnavailable: the answer was lost; look before repeating.
        """

    @abstractmethod
    def delete(self, space: PublishedSpace) -> None:
        """Deletes the Space with everything in it; one that is not there is deleted already."""

    @abstractmethod
    def set_visibility(self, space: PublishedSpace, visibility: str) -> None:
        """Makes a Space `public`, `private` or `protected`.

        Raises:
            TargetNotFound: there is no such Space.
        """

    @abstractmethod
    def files_at(self, space: PublishedSpace, oid: str) -> dict[str, LiveFile]:
        """Lists the files of a commit by path.

        Raises:
            TargetNotFound: there is no such Space or commit.
        """

    @abstractmethod
    def open_file(self, space: PublishedSpace, path: str, oid: str) -> AbstractContextManager[BinaryIO]:
        """Opens one file of a commit for reading.

        Raises:
            TargetNotFound: there is no such Space, commit or file.
        """

    @abstractmethod
    def variables(self, space: PublishedSpace) -> dict[str, str]:
        """Reads the public environment variables."""

    @abstractmethod
    def set_variable(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """Sets a public environment variable; None removes it."""

    @abstractmethod
    def move(self, space: PublishedSpace, namespace: str, name: str) -> PublishedSpace:
        """Gives a Space another name.

        Raises:
            NameTaken: there is a Space of that name.
            TargetNotFound: there is no such Space.
        """

    runs_apps: ClassVar[bool] = True
    """Whether it runs the apps of Spaces; if not, the methods below are not called."""

    def set_secret(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """Sets a secret environment variable; None removes it."""
        raise NotImplementedError

    def machine(self, space: PublishedSpace) -> Machine:
        """Reads what a Space runs on."""
        raise NotImplementedError

    def set_hardware(self, space: PublishedSpace, flavor: str, sleep_time: int | None) -> None:
        """Moves the app to another machine; None leaves the sleep time as the target chooses.

        Raises:
            PaymentRequired: the account cannot pay for it.
        """
        raise NotImplementedError

    def set_sleep_time(self, space: PublishedSpace, seconds: int) -> None:
        """Sets after how many seconds without use the app sleeps."""
        raise NotImplementedError

    def restart(self, space: PublishedSpace, *, factory: bool = False) -> None:
        """Starts the app again; with `factory` it is built from scratch. Wakes one that sleeps or is paused."""
        raise NotImplementedError

    def pause(self, space: PublishedSpace) -> None:
        """Stops the app until it is started again."""
        raise NotImplementedError

    @abstractmethod
    def runtime(self, space: PublishedSpace) -> Runtime:
        """Asks what has become of the app.

        Raises:
            TargetNotFound: there is no such Space.
            TargetError: see the tree of errors.
        """

    @abstractmethod
    def read_log(self, space: PublishedSpace, kind: str, tail: int, *, follow: bool = False) -> LogReader:
        """Opens a log.

        Args:
            space: the Space.
            kind: `build` or `run`.
            tail: at most so many of the lines that are there already.
            follow: whether to go on with the lines that are still to come.
        Returns:
            What reads it; it has to be closed.
        """

    def allowance(self) -> Allowance:
        """Tells how often running apps may be looked at now."""
        return Allowance()

    @abstractmethod
    def state_after_commit(self, sdk: str) -> str:
        """Returns the state a Space is in when a commit has just been taken."""
