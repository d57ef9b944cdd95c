"""Spaces as git repositories in a folder of this service, one bare repository per Space."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from assembler_runner.core.errors import (
    HeadMoved,
    NameTaken,
    TargetError,
    TargetNotFound,
    TargetRefused,
    TargetUnavailable,
)
from assembler_runner.files.paths import check_path
from assembler_runner.files.tree import Tree
from assembler_runner.targets.base import CommitInfo, Head, PublishedSpace, SpaceSpec, Target
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.apps_table import LocalApps
from assembler_runner.targets.local.changes import LocalChanges, OpenFile, StoredFile
from assembler_runner.targets.local.git_blobs import open_blob, size_of, store, sync_folder, write_files
from assembler_runner.targets.local.git_commits import (
    blobs_of,
    chosen_commit,
    commit_at,
    head_of,
    kept_blobs,
    move_head,
    new_commit,
)
from assembler_runner.targets.local.running import LocalRunning

if TYPE_CHECKING:  # imported with the first repository, because it costs 20 ms and 4 MB
    from dulwich.objects import Commit
    from dulwich.repo import Repo

log = logging.getLogger(__name__)

_DEFAULT_NAMESPACE = "local"
_DETAILS_FILE = "assembler.json"
_REGULAR_FILE = 0o100644
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}")
_NEWEST_COMMITS = 100
_LEFT_OVER_AFTER_SECONDS = 3600
# A leading dot keeps these apart from namespaces, which cannot have one.
_LOCKS = ".locks"
_WORK = ".work"


class LocalTarget(LocalChanges, LocalRunning, Target):
    """Publishes to bare git repositories at `folder/<namespace>/<name>.git`.

    Threads and processes may share the folder: every change of a Space holds a file lock, which the operating system
    releases when a process dies.

    Args:
        folder: the folder of the repositories; created when first needed.
        apps: the table of apps; None if apps are only stored.
        app_files: where the files of apps are; needed only with a table.
    """

    name: ClassVar[str] = "local"
    own_files: ClassVar[frozenset[str]] = frozenset()
    initial_commits: ClassVar[int] = 0

    def __init__(self, folder: Path, apps: LocalApps | None = None, app_files: AppFiles | None = None) -> None:
        self._folder, self.apps, self.app_files = folder, apps, app_files or AppFiles(folder / _WORK)
        self.runs_apps = apps is not None

    def create(self, spec: SpaceSpec) -> PublishedSpace:
        """See :meth:`Target.create`; creates an empty repository. Names are case-insensitive."""
        namespace = spec.namespace or _DEFAULT_NAMESPACE
        if not (_is_name(namespace) and _is_name(spec.name)):
            hint = "Use at most 96 letters, digits, -, _ and ., not starting with a dot and not ending in .git."
            raise TargetRefused("The name of the Space or of its namespace is not valid.", hint=hint)
        with _own_errors(), self._locked(namespace, spec.name):
            if self._find_repository(namespace, spec.name) is not None:
                raise NameTaken()
            self._remove_left_overs()
            repository = self._folder / namespace / f"{spec.name}.git"
            repository.parent.mkdir(exist_ok=True)
            # First, since the secrets are in no repository.
            self._app_created(_published(repository), spec)
            draft = self._new_work_folder()
            try:
                _fill_new_repository(draft, spec)
                draft.rename(repository)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            sync_folder(repository.parent)
            sync_folder(self._folder)
        return _published(repository)

    def find(self, namespace: str | None, name: str) -> PublishedSpace | None:
        """See :meth:`Target.find`; names are case-insensitive."""
        with _own_errors():
            repository = self._find_repository(namespace or _DEFAULT_NAMESPACE, name)
        return _published(repository) if repository else None

    def head(self, space: PublishedSpace) -> Head:
        """See :meth:`Target.head`."""
        with _own_errors(), self.open_repository(space.namespace, space.name) as repo:
            oid = head_of(repo)
            paths = frozenset(path.decode() for path in blobs_of(repo, oid))
            created_at = datetime.fromisoformat(_details(repo)["created_at"])
        return Head(oid.decode() if oid else None, paths, created_at)

    def commits(self, space: PublishedSpace) -> list[CommitInfo]:
        """See :meth:`Target.commits`; a new Space has none."""
        found: list[CommitInfo] = []
        with _own_errors(), self.open_repository(space.namespace, space.name) as repo:
            oid = head_of(repo)
            while oid is not None and len(found) < _NEWEST_COMMITS:
                commit = commit_at(repo, oid)
                found.append(_commit_info(repo, commit))
                oid = commit.parents[0] if commit.parents else None
        return found

    def commit(
        self, space: PublishedSpace, tree: Tree, delete: Set[str], title: str, description: str, parent: str | None
    ) -> CommitInfo:
        """See :meth:`Target.commit`; if nothing would change, no commit is made and the head is returned."""
        from dulwich.index import commit_tree
        from dulwich.object_store import MemoryObjectStore

        findings = [finding for path in tree for finding in check_path(path)]
        if findings:
            raise TargetRefused("The tree has paths that cannot be published.", issues=findings)
        message = f"{title}\n\n{description}".strip().replace("\0", "")
        namespace, name = space.namespace, space.name
        with _own_errors(), self._locked(namespace, name), self.open_repository(namespace, name) as repo:
            head = head_of(repo)
            if (head.decode() if head else None) != parent:
                raise HeadMoved()
            new = write_files(repo, tree)
            remaining = kept_blobs(blobs_of(repo, head), {path.encode() for path in delete}, new.keys())
            folders = MemoryObjectStore()
            blob_ids = {**remaining, **new}
            tree_id = commit_tree(folders, [(path, blob_id, _REGULAR_FILE) for path, blob_id in blob_ids.items()])
            if head is not None and commit_at(repo, head).tree == tree_id:
                return _commit_info(repo, commit_at(repo, head))
            commit = new_commit(tree_id, head, message)
            store(repo, [*(folders[oid] for oid in folders), commit])
            move_head(repo, head, commit.id)
            self._app_committed(_published(Path(repo.path)), commit.id.decode())
            return _commit_info(repo, commit)

    def delete(self, space: PublishedSpace) -> None:
        """See :meth:`Target.delete`."""
        with _own_errors(), self._locked(space.namespace, space.name):
            repository = self._find_repository(space.namespace, space.name)
            if repository is None:
                return
            # Renamed first, so that a partly deleted repository is never visible.
            away = self._new_work_folder()
            repository.rename(away)
            sync_folder(repository.parent)
            if self.apps is not None:
                self.apps.remove(space.namespace, space.name)
        shutil.rmtree(away, ignore_errors=True)

    def move(self, space: PublishedSpace, namespace: str, name: str) -> PublishedSpace:
        """See :meth:`Target.move`."""
        if not (_is_name(namespace) and _is_name(name)):
            raise TargetRefused("The name of the Space or of its namespace is not valid.")
        # Several names share a lock, so locks are acquired in a fixed order and never twice.
        shares = sorted({_share(space.namespace, space.name), _share(namespace, name)})
        with _own_errors(), ExitStack() as held:
            for share in shares:
                held.enter_context(self._locked_share(share))
            old = self._find_repository(space.namespace, space.name)
            existing = self._find_repository(namespace, name)
            if old is None:
                raise TargetNotFound()
            if existing is not None and existing != old:
                raise NameTaken()
            new = self._folder / namespace / f"{name}.git"
            new.parent.mkdir(exist_ok=True)
            old.rename(new)
            for folder in {old.parent, new.parent, self._folder}:
                sync_folder(folder)
            if self.apps is not None:
                self.apps.rename((space.namespace, space.name), (namespace, name))
        return _published(new)

    def _read_details(self, space: PublishedSpace) -> dict[str, Any]:
        with _own_errors(), self.open_repository(space.namespace, space.name) as repo:
            return _details(repo)

    def _change_details(self, space: PublishedSpace, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        namespace, name = space.namespace, space.name
        with _own_errors(), self._locked(namespace, name), self.open_repository(namespace, name) as repo:
            _write_details(Path(repo.path), change(_details(repo)))

    def files(self, namespace: str, name: str, oid: str | None) -> list[StoredFile]:
        """Lists the files of a commit, or of the newest one if `oid` is None, in order of path.

        Raises:
            TargetNotFound: the Space or the commit does not exist.
        """
        with _own_errors(), self.open_repository(namespace, name) as repo:
            blobs = blobs_of(repo, chosen_commit(repo, oid))
            return [
                StoredFile(path.decode(), size_of(repo, blob_id), blob_id.decode())
                for path, blob_id in sorted(blobs.items())
            ]

    def read(self, namespace: str, name: str, path: str, oid: str | None) -> bytes | None:
        """Reads one file of a commit, or of the newest one if `oid` is None; None if the file does not exist.

        Raises:
            TargetNotFound: the Space or the commit does not exist.
        """
        opened = self.open(namespace, name, path, oid)
        if opened is None:
            return None
        with _own_errors(), opened.content as content:
            return content.read()

    def open(self, namespace: str, name: str, path: str, oid: str | None) -> OpenFile | None:
        """Opens one file of a commit, or of the newest one if `oid` is None; None if the file does not exist.

        Raises:
            TargetNotFound: the Space or the commit does not exist.
        """
        with _own_errors(), self.open_repository(namespace, name) as repo:
            blobs = blobs_of(repo, chosen_commit(repo, oid))
            blob_id = blobs.get(path.encode("utf-8", "replace"))
            if blob_id is None:
                return None
            return OpenFile(size_of(repo, blob_id), blob_id.decode(), open_blob(repo, blob_id))

    def visibility(self, namespace: str, name: str) -> str:
        """Returns the visibility of a Space: `public`, `private` or `protected`.

        Raises:
            TargetNotFound: the Space does not exist.
        """
        return self._detail(namespace, name, "visibility")

    def sdk(self, namespace: str, name: str) -> str:
        """Returns the SDK of a Space: `gradio`, `docker` or `static`.

        Raises:
            TargetNotFound: the Space does not exist.
        """
        return self._detail(namespace, name, "sdk")

    def open_repository(self, namespace: str, name: str) -> Repo:
        """Opens a Space's repository for reading; the caller closes it.

        Raises:
            TargetNotFound: the Space does not exist.
        """
        from dulwich.repo import Repo

        with _own_errors():
            repository = self._find_repository(namespace, name)
            if repository is None:
                raise TargetNotFound()
            return Repo(str(repository))

    def _detail(self, namespace: str, name: str, key: str) -> str:
        return str(self._read_details(PublishedSpace(namespace, name, ""))[key])

    def _find_repository(self, namespace: str, name: str) -> Path | None:
        if not (_is_name(namespace) and _is_name(name)):
            return None
        exact = self._folder / namespace / f"{name}.git"
        if exact.is_dir():
            return exact
        folders = _children_like(self._folder, namespace)
        return next((child for folder in folders for child in _children_like(folder, f"{name}.git")), None)

    def _locked(self, namespace: str, name: str) -> AbstractContextManager[None]:
        return self._locked_share(_share(namespace, name))

    @contextmanager
    def _locked_share(self, share: str) -> Iterator[None]:
        locks = self._folder / _LOCKS
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        locks.mkdir(exist_ok=True)
        with (locks / share).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                # A process forked in the meantime inherits the open file, so closing it here would not free the lock.
                fcntl.flock(file, fcntl.LOCK_UN)

    def _new_work_folder(self) -> Path:
        folder = self._folder / _WORK / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def _remove_left_overs(self) -> None:
        """Removes work folders of processes that died while creating or deleting a Space."""
        for folder in _children(self._folder / _WORK):
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < time.time() - _LEFT_OVER_AFTER_SECONDS:
                    shutil.rmtree(folder)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Translates exceptions of the disk and the git library into errors of this service."""
    from dulwich.errors import NotGitRepository
    from dulwich.file import FileLocked

    try:
        yield
    except (FileNotFoundError, NotGitRepository) as problem:
        raise TargetNotFound() from problem
    except (OSError, FileLocked) as problem:
        log.warning("The folder of local Spaces cannot be used", exc_info=True)
        hint = "The operator has to check free space and permissions of the folder of local Spaces."
        raise TargetUnavailable("The folder of local Spaces cannot be read or written.", hint=hint) from problem
    except (KeyError, ValueError) as problem:
        log.exception("A local repository is damaged")
        hint = "The operator has to run git fsck in the Space's repository, or restore it from a backup."
        raise TargetError("The Space's repository is damaged.", hint=hint) from problem


def _share(namespace: str, name: str) -> str:
    # All Spaces share 256 lock files: a deleted Space leaves no lock file behind, and a lock file is never deleted,
    # which would let two processes hold the same lock.
    return hashlib.sha256(f"{namespace}/{name}".casefold().encode("utf-8", "replace")).hexdigest()[:2]


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not name.casefold().endswith(".git")


def _published(repository: Path) -> PublishedSpace:
    namespace, name = repository.parent.name, repository.stem
    return PublishedSpace(namespace, name, f"/local/{namespace}/{name}")


def _commit_info(repo: Repo, commit: Commit) -> CommitInfo:
    oid = commit.id.decode()
    message = commit.message.decode("utf-8", "replace").strip()
    return CommitInfo(oid, f"{_published(Path(repo.path)).url}/tree/{oid}", message)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _children_like(folder: Path, name: str) -> list[Path]:
    return [child for child in _children(folder) if child.name.casefold() == name.casefold()]


def _fill_new_repository(folder: Path, spec: SpaceSpec) -> None:
    from dulwich.repo import Repo

    Repo.init_bare(str(folder), default_branch=b"main").close()
    # Neither secrets nor their names: repositories are cloned and copied.
    details = {"sdk": spec.sdk, "visibility": spec.visibility, "variables": dict(spec.variables)}
    details["created_at"] = datetime.now(UTC).isoformat()
    _write_details(folder, details)


def _write_details(folder: Path, details: Mapping[str, Any]) -> None:
    new = folder / f"{_DETAILS_FILE}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(dict(details), file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / _DETAILS_FILE)
    sync_folder(folder)


def _details(repo: Repo) -> dict[str, Any]:
    return dict(json.loads((Path(repo.path) / _DETAILS_FILE).read_text(encoding="utf-8")))
