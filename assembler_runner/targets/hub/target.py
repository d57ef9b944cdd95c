"""Publishes to the Hugging Face Hub, or to any endpoint with its API, through `huggingface_hub`.

The library is used in this folder only. It is imported on first use, so that a process that only accepts requests does
not load it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assembler_runner.core.errors import TargetNotFound
from assembler_runner.files.tree import Tree
from assembler_runner.targets.base import (
    Allowance,
    CommitInfo,
    FirstCommit,
    Head,
    LogReader,
    PublishedSpace,
    Runtime,
    SpaceSpec,
    Target,
)
from assembler_runner.targets.hub import metrics
from assembler_runner.targets.hub.account import HubAccount
from assembler_runner.targets.hub.changes import HubChanges
from assembler_runner.targets.hub.errors import CreationBusy, translated
from assembler_runner.targets.hub.files import additions, on_disk
from assembler_runner.targets.hub.logs import HubLog
from assembler_runner.targets.hub.rate_budget import Budget
from assembler_runner.targets.hub.token_owner import SERVICE, TokenOwner

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
FOLLOW_TIMEOUT = 120.0
"""Seconds without data after which a live log is opened again."""

_BUSY = "another conflicting operation is in progress"


MAX_HELPERS = 1024
"""Most threads for calls beside those of the requests, two each; they are started when they are needed."""

MAX_ORGANISATIONS = 1000
"""Organisations of an account that are taken; the Hub may name any number."""


class HuggingFaceTarget(HubChanges, Target):
    """Spaces on a Hub.

    Args:
        endpoint: URL of the Hub.
        token: token with write access; empty: none, so that only what is public can be read.
        timeout: seconds to wait for a response; the library's own default is forever.
        work_folder: the folder for copies of large files during an upload; created if it does not exist.
        owner: whose token it is, for messages.
    """

    name = "huggingface"

    def __init__(
        self, endpoint: str, token: str, timeout: float, work_folder: Path, owner: TokenOwner = SERVICE
    ) -> None:
        self._work_folder = work_folder
        self._owner = owner
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._budget = _budget_of(self._endpoint, token)
        _choose_storage(self._endpoint)

    @property
    def account(self) -> str:
        """See :meth:`Target.account`."""
        return hashlib.sha256(f"{self._endpoint}\n{self._token}".encode()).hexdigest()

    def whoami(self) -> HubAccount:
        """Returns the account of the token; one request.

        Raises:
            TargetUnauthorized: the Hub does not accept the token.
            TargetUnavailable: the Hub does not respond.
        """
        with self._asking("whoami"):
            said = self._api.whoami()
            # The token of an application that acts as a person has none.
            token = said["auth"].get("accessToken") or {"role": "app"}
            listed = said.get("orgs", [])[:MAX_ORGANISATIONS]
            orgs = {str(org["name"]): str(org.get("roleInOrg") or "read") for org in listed}
            plan = "pro" if said.get("isPro") else "free"
            return HubAccount(str(said["name"]), plan, str(token["role"]), orgs, bool(said.get("canPay")))

    def create(self, spec: SpaceSpec) -> PublishedSpace:
        """See :meth:`Target.create`; one request."""
        repo = spec.name if spec.namespace is None else f"{spec.namespace}/{spec.name}"
        with self._asking("create"):
            made = self._api.create_repo(
                repo,
                repo_type="space",
                visibility=spec.visibility,  # type: ignore[arg-type]  # validated against the allowed values before
                space_sdk=spec.sdk,
                space_hardware=spec.hardware,  # type: ignore[arg-type]  # likewise
                space_sleep_time=spec.sleep_time,
                space_secrets=[{"key": key, "value": value} for key, value in spec.secrets.items()] or None,
                space_variables=[{"key": key, "value": value} for key, value in spec.variables.items()] or None,
            )
            namespace, _, name = made.repo_id.partition("/")
        return self._published(namespace, name)

    def find(self, namespace: str | None, name: str) -> PublishedSpace | None:
        """See :meth:`Target.find`."""
        with self._asking("find"):
            owner = namespace or self._own_name
        space = self._published(owner, name)
        try:
            self.head(space)
        except TargetNotFound:
            return None
        return space

    def head(self, space: PublishedSpace) -> Head:
        """See :meth:`Target.head`; one request."""
        with self._asking("head"):
            info = self._api.space_info(f"{space.namespace}/{space.name}")
            paths = frozenset(sibling.rfilename for sibling in info.siblings or [])
            namespace, _, name = info.id.partition("/")
        renamed = (namespace, name) != (space.namespace, space.name)
        return Head(info.sha, paths, info.created_at, self._published(namespace, name) if renamed else None)

    def commits(self, space: PublishedSpace) -> list[CommitInfo]:
        """See :meth:`Target.commits`."""
        with self._asking("commits"):
            found = self._api.list_repo_commits(f"{space.namespace}/{space.name}", repo_type="space")
            url = f"{space.url}/commit/"
            return [CommitInfo(one.commit_id, url + one.commit_id, f"{one.title}\n\n{one.message}") for one in found]

    @contextmanager
    def first_commit(self, space: PublishedSpace, tree: Tree) -> Iterator[FirstCommit]:
        """See :meth:`Target.first_commit`: queries the head and the upload mode of each file at the same time."""
        if any(not isinstance(file.source, bytes) for file in tree.values()):
            # For large files the gain is small, and they should not be uploaded earlier than necessary.
            yield FirstCommit(partial(self.head, space), partial(self.commit, space, tree))
            return
        repo = f"{space.namespace}/{space.name}"
        pool = _helpers(os.getpid())
        head = pool.submit(copy_context().run, self.head, space)
        files = additions({path: file.content for path, file in tree.items()})
        sent = pool.submit(
            copy_context().run, self._api.preupload_lfs_files, repo, files, repo_type="space", free_memory=False
        )

        def finished() -> list[Any]:
            sent.result()
            return files

        try:
            yield FirstCommit(head.result, partial(self._write, space, finished))
        finally:
            wait((head, sent))

    def commit(
        self,
        space: PublishedSpace,
        tree: Tree,
        delete: frozenset[str],
        title: str,
        description: str,
        parent: str | None,
    ) -> CommitInfo:
        """See :meth:`Target.commit`; two requests, more for binary and for more than 256 files."""
        with on_disk(tree, self._work_folder) as sources:
            return self._write(space, partial(additions, sources), delete, title, description, parent)

    def _write(
        self,
        space: PublishedSpace,
        files: Callable[[], list[Any]],
        delete: frozenset[str],
        title: str,
        description: str,
        parent: str | None,
    ) -> CommitInfo:
        from huggingface_hub import CommitOperationDelete

        with self._asking("commit"):
            made = self._api.create_commit(
                f"{space.namespace}/{space.name}",
                # Deletions come first: a file may be replaced by a folder with its name.
                [*(CommitOperationDelete(path, is_folder=False) for path in sorted(delete)), *files()],
                commit_message=title,
                commit_description=description,
                repo_type="space",
                parent_commit=parent,
            )
            return CommitInfo(made.oid, made.commit_url, f"{title}\n\n{description}")

    def delete(self, space: PublishedSpace) -> None:
        """See :meth:`Target.delete`."""
        with self._asking("delete"):
            self._api.delete_repo(f"{space.namespace}/{space.name}", repo_type="space", missing_ok=True)

    def runtime(self, space: PublishedSpace) -> Runtime:
        """See :meth:`Target.runtime`; one request."""
        with self._asking("runtime"):
            raw = self._api.get_space_runtime(f"{space.namespace}/{space.name}").raw
            return Runtime(str(raw["stage"]), raw.get("sha"), raw.get("errorMessage"))

    def read_log(self, space: PublishedSpace, kind: str, tail: int, *, follow: bool = False) -> LogReader:
        """See :meth:`Target.read_log`; one request, one more each time the stream breaks."""
        return HubLog(lambda: self._open_log(space, kind, tail, FOLLOW_TIMEOUT if follow else self._timeout), follow)

    def allowance(self) -> Allowance:
        """See :meth:`Target.allowance`."""
        return self._budget.allowance()

    @contextmanager
    def _open_log(self, space: PublishedSpace, kind: str, tail: int, silence: float) -> Iterator[httpx2.Response]:
        # The library's own function provides neither the timestamps of lines nor a way to stop waiting for a line.
        import httpx2
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, but not in its __all__
            build_hf_headers,
            get_session,
            hf_raise_for_status,
        )

        url = f"{self._endpoint}/api/spaces/{space.namespace}/{space.name}/logs/{kind}"
        headers = build_hf_headers(token=self._api.token)
        timeout = httpx2.Timeout(self._timeout, connect=min(CONNECT_TIMEOUT, self._timeout), read=silence)
        with self._asking("logs"):
            stream = get_session().stream("GET", url, headers=headers, params={"tail": tail}, timeout=timeout)
            with stream as response:
                if response.is_error:
                    response.read()
                hf_raise_for_status(response)
                yield response

    def state_after_commit(self, sdk: str) -> str:
        """See :meth:`Target.state_after_commit`: the Hub builds an app; a static Space is served at once."""
        return "running" if sdk == "static" else "building"

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        """Checks the rate limit before a call to the Hub, and translates its failures."""
        self._budget.check()
        from assembler_runner.targets.hub.bounded_client import one_action

        with translated(action, self._token, self._owner), one_action():
            yield

    def _published(self, namespace: str, name: str) -> PublishedSpace:
        return PublishedSpace(namespace, name, f"{self._endpoint}/spaces/{namespace}/{name}")

    @cached_property
    def _own_name(self) -> str:
        return str(self._api.whoami()["name"])

    @cached_property
    def _api(self) -> HfApi:
        return _make_api(self._endpoint, self._token, self._timeout)


@cache
def _helpers(process: int) -> ThreadPoolExecutor:
    """Returns the threads that make calls beside those of the requests; a fork has none of its parent's threads."""
    return ThreadPoolExecutor(MAX_HELPERS, thread_name_prefix="first commit")


def _choose_storage(endpoint: str) -> None:
    """Makes the library upload binary files as LFS objects to other Hubs than Hugging Face's own.

    With hf_xet installed it uploads them to Xet storage alone, which such Hubs do not have. It reads the variable when
    it is imported, which happens with the first call.
    """
    host = urlsplit(endpoint).hostname or ""
    if not (host == _OWN_HOST or host.endswith(f".{_OWN_HOST}")):
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")


def _make_api(endpoint: str, token: str, timeout: float) -> HfApi:
    from huggingface_hub import HfApi

    class Api(HfApi):
        # Otherwise create_commit has the Hub validate every README first: an additional request for generated YAML,
        # although the commit is validated anyway.
        def _validate_yaml(
            self, content: str, *, repo_type: str | None = None, token: bool | str | None = None
        ) -> None:
            return None

    _set_client(timeout)
    # False: not even the token of the user that runs the service.
    return Api(endpoint=endpoint, token=token or False)


def _set_client(timeout: float) -> None:
    """Sets the HTTP client that all targets of this process share.

    Setting it again closes the client that other threads use, so this is done only if the timeout changes.
    """
    with _client_lock:
        if _client_timeouts[-1:] == [timeout]:
            return
        _client_timeouts[:] = [timeout]
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from assembler_runner.targets.hub.bounded_client import BoundedClient

    def client() -> httpx2.Client:
        return BoundedClient(
            follow_redirects=True,
            # What the client unpacks itself, counting.
            headers={"Accept-Encoding": "gzip, deflate"},
            timeout=httpx2.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout)),
            event_hooks=metrics.hooks(_update_budget, _stop_busy_retry),
        )

    disable_progress_bars()
    set_client_factory(client)


_OWN_HOST = "huggingface.co"
_client_timeouts: list[float] = []
_client_lock = threading.Lock()
_budgets: dict[tuple[str, str], Budget] = {}
_budgets_lock = threading.Lock()


def _budget_of(endpoint: str, token: str) -> Budget:
    with _budgets_lock:
        return _budgets.setdefault((endpoint, token), Budget())


def _update_budget(response: httpx2.Response) -> None:
    token = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and "RateLimit" in response.headers:
        url = response.request.url
        budget = _budget_of(f"{url.scheme}://{url.netloc.decode()}", token)
        budget.learn(response.headers["RateLimit"], response.headers.get("RateLimit-Policy", ""))
        metrics.set_budget_metric(token, budget.remaining)


def _stop_busy_retry(response: httpx2.Response) -> None:
    # On this response the library's create_repo retries at once and forever.
    if response.status_code == 409 and response.request.url.path.endswith("/api/repos/create"):
        response.read()
        if _BUSY in response.text:
            raise CreationBusy
