"""Publishing to the Hugging Face Hub, or any endpoint that speaks its API, through `huggingface_hub`.

The only module that knows the outside library and its exceptions. The library is imported on first use: a process that
only accepts requests never pays for it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assembler_runner.errors import (
    AssemblerError,
    HeadMoved,
    NameTaken,
    PaymentRequired,
    RateLimited,
    TargetForbidden,
    TargetNotFound,
    TargetRefused,
    TargetTooLarge,
    TargetUnauthorized,
    TargetUnavailable,
)
from assembler_runner.plugin import Tree
from assembler_runner.targets.base import CommitInfo, Head, PublishedSpace, SpaceSpec, Target

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
_BUSY = "another conflicting operation is in progress"
_RESET = re.compile(r'"api";r=0;t=(\d+)')
_RATE_LIMIT = re.compile(r'"api";r=(\d+);t=(\d+)')
# Kept back so that work that has begun can be brought to its end.
_RESERVE = 4
_MESSAGE_LIMIT = 300


class _CreationBusy(Exception):
    """The Hub makes another repository for this account right now."""


_WRITERS = ("admin", "write", "contributor")


@dataclass(frozen=True)
class HubAccount:
    """Whose token it is and what it may do.

    Args:
        name: name of the account.
        plan: free or pro.
        role: what the token may do: read, write or fineGrained.
        orgs: organisation → the account's role in it.
    """

    name: str
    plan: str
    role: str
    orgs: Mapping[str, str]

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where the account may publish, its own namespace first."""
        return (self.name, *(name for name, role in self.orgs.items() if role in _WRITERS))


class HuggingFaceTarget(Target):
    """Spaces on a Hub.

    Args:
        endpoint: address of the Hub.
        token: token with write access.
        timeout: seconds to wait for an answer; the library's own default is for ever.
    """

    name = "huggingface"

    def __init__(self, endpoint: str, token: str, timeout: float) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._budget = _budget_of(self._endpoint, token)

    @property
    def account(self) -> str:
        """See :meth:`Target.account`."""
        return hashlib.sha256(f"{self._endpoint}\n{self._token}".encode()).hexdigest()

    def whoami(self) -> HubAccount:
        """Returns whose token it is and what it may do; one request.

        Raises:
            TargetUnauthorized: the Hub does not accept the token.
            TargetUnavailable: the Hub does not answer.
        """
        with self._asking("whoami"):
            said = self._api.whoami()
            token = said["auth"]["accessToken"]
            orgs = {org["name"]: str(org.get("roleInOrg") or "read") for org in said.get("orgs", [])}
            plan = "pro" if said.get("isPro") else "free"
            return HubAccount(str(said["name"]), plan, str(token["role"]), orgs)

    def create(self, spec: SpaceSpec) -> PublishedSpace:
        """See :meth:`Target.create`; one request."""
        repo = spec.name if spec.namespace is None else f"{spec.namespace}/{spec.name}"
        with self._asking("create"):
            made = self._api.create_repo(
                repo,
                repo_type="space",
                visibility=spec.visibility,  # type: ignore[arg-type]  # checked against the allowed words on the way in
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
            owner = namespace or str(self._api.whoami(cache=True)["name"])
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
            return Head(info.sha, paths, info.created_at)

    def commits(self, space: PublishedSpace) -> list[CommitInfo]:
        """See :meth:`Target.commits`."""
        with self._asking("commits"):
            found = self._api.list_repo_commits(f"{space.namespace}/{space.name}", repo_type="space")
            return [
                CommitInfo(
                    commit.commit_id, f"{space.url}/commit/{commit.commit_id}", f"{commit.title}\n\n{commit.message}"
                )
                for commit in found
            ]

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
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationAdd(file.path, file.content) for file in tree.values()]
        operations += [CommitOperationDelete(path) for path in sorted(delete)]
        with self._asking("commit"):
            made = self._api.create_commit(
                f"{space.namespace}/{space.name}",
                operations,
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

    def make_private(self, space: PublishedSpace) -> None:
        """See :meth:`Target.make_private`."""
        with self._asking("settings"):
            self._api.update_repo_settings(f"{space.namespace}/{space.name}", repo_type="space", visibility="private")

    def state_after_commit(self, sdk: str) -> str:
        """See :meth:`Target.state_after_commit`: the Hub builds the app, a static one is served at once."""
        return "running" if sdk == "static" else "building"

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        """Asks the Hub only while its rate limit allows, and speaks of failures in errors of ours."""
        self._budget.check()
        with _translated(action, self._token):
            yield

    def _published(self, namespace: str, name: str) -> PublishedSpace:
        return PublishedSpace(namespace, name, f"{self._endpoint}/spaces/{namespace}/{name}")

    @cached_property
    def _api(self) -> HfApi:
        return _make_api(self._endpoint, self._token, self._timeout)


def _make_api(endpoint: str, token: str, timeout: float) -> HfApi:
    from huggingface_hub import HfApi

    class Api(HfApi):
        # Without it create_commit asks the Hub to check every README first: one request more for what our YAML writer
        # made, and the commit is checked anyway.
        def _validate_yaml(
            self, content: str, *, repo_type: str | None = None, token: bool | str | None = None
        ) -> None:
            return None

    _set_client(timeout)
    return Api(endpoint=endpoint, token=token)


def _set_client(timeout: float) -> None:
    """Sets the one HTTP client that all targets of this process share.

    Setting it again would close it under those who use it, so that is done only for another time-out.
    """
    with _client_lock:
        if _client_timeouts[-1:] == [timeout]:
            return
        _client_timeouts[:] = [timeout]
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils.tqdm import disable_progress_bars

    def client() -> httpx2.Client:
        return httpx2.Client(
            follow_redirects=True,
            timeout=httpx2.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout)),
            event_hooks={"response": [_learn_budget, _stop_spinning]},
        )

    disable_progress_bars()
    set_client_factory(client)


class _Budget:
    """What is left of a token's rate limit, as the Hub's own answers tell it.

    The header is `RateLimit: "api";r=<remaining>;t=<seconds to reset>` on every answer (IETF draft RateLimit header
    fields; Hub documentation, Rate limits).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.remaining: int | None = None
        self._reset_at = 0.0

    def learn(self, header: str) -> None:
        """Takes over what an answer tells."""
        found = _RATE_LIMIT.search(header)
        if found:
            with self._lock:
                self.remaining, self._reset_at = int(found[1]), time.monotonic() + int(found[2])

    def check(self) -> None:
        """Stops a call that the Hub would refuse.

        Raises:
            RateLimited: with the seconds until the limit is reset.
        """
        with self._lock:
            left = self._reset_at - time.monotonic()
            if self.remaining is not None and self.remaining <= _RESERVE and left > 0:
                raise RateLimited("The Hub's rate limit is nearly used up for now.", retry_after=left + 1)


_client_timeouts: list[float] = []
_client_lock = threading.Lock()
_budgets: dict[tuple[str, str], _Budget] = {}
_budgets_lock = threading.Lock()


def _budget_of(endpoint: str, token: str) -> _Budget:
    with _budgets_lock:
        return _budgets.setdefault((endpoint, token), _Budget())


def _learn_budget(response: httpx2.Response) -> None:
    token = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    if token and "RateLimit" in response.headers:
        url = response.request.url
        _budget_of(f"{url.scheme}://{url.netloc.decode()}", token).learn(response.headers["RateLimit"])


def _stop_spinning(response: httpx2.Response) -> None:
    # On this answer create_repo of the library asks again at once and for ever.
    if response.status_code == 409 and response.request.url.path.endswith("/api/repos/create"):
        response.read()
        if _BUSY in response.text:
            raise _CreationBusy


@contextmanager
def _translated(action: str, token: str) -> Iterator[None]:
    """Turns the exceptions of the library and its transport into errors of ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as problem:
        log.info("the Hub refused %s with status %s", action, problem.response.status_code)
        raise _of_status(action, problem, token) from None
    except _CreationBusy:
        raise RateLimited("The Hub is making another repository for this account.", retry_after=2) from None
    except httpx2.TransportError as problem:
        log.info("no answer from the Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The Hub did not answer.") from None
    except (OSError, RuntimeError) as problem:
        # What the upload of large files raises; it has a transport of its own.
        log.info("no answer from the Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The Hub's store of large files did not answer.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        # What the library raises where an answer is not what it must be.
        log.info("an unreadable answer from the Hub to %s: %s", action, type(problem).__name__)
        raise TargetUnavailable("The Hub gave an answer that cannot be read.") from None


def _of_status(action: str, problem: HfHubHTTPError, token: str) -> AssemblerError:
    status = problem.response.status_code
    said = _quoted(problem.server_message, token)
    if status == 401:
        return TargetUnauthorized(f"The Hub does not accept the service's token.{said}")
    if status == 402:
        return PaymentRequired(f"The Hub asks for a paid plan.{said}")
    if status == 403:
        return TargetForbidden(f"The service's token may not do this on the Hub.{said}")
    if status == 404:
        return TargetNotFound(f"The Hub has no such repository.{said}")
    if status == 409 and action == "create":
        return NameTaken(f"A Space of this name exists already on the Hub.{said}")
    if status in (409, 412):
        return HeadMoved()
    if status == 413:
        return TargetTooLarge(f"The Hub refused the files as too large.{said}")
    if status == 429:
        return RateLimited(f"The Hub's rate limit is used up for now.{said}", retry_after=_wait(problem))
    if status >= 500 or status == 408:
        return TargetUnavailable(f"The Hub answered with status {status}.")
    return TargetRefused(f"The Hub refused the request.{said}")


def _quoted(said: str | None, token: str) -> str:
    if not said:
        return ""
    line = " ".join(said.replace(token, "…").split())
    return f" It said: {line[:_MESSAGE_LIMIT]}"


def _wait(problem: HfHubHTTPError) -> float | None:
    headers = problem.response.headers
    told = headers.get("Retry-After", "")
    if told.isdigit():
        return float(told)
    reset = _RESET.search(headers.get("RateLimit", ""))
    return float(reset[1]) if reset else None
