"""All files of a Space, read from its target: to adopt it, or as a source of another Space's files."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import Finding, InvalidRequest, TargetNotFound, TargetUnauthorized, TooManyRequests
from assembler_runner.files.content import Content, Spool, pieces_of
from assembler_runner.files.paths import check_path
from assembler_runner.requests.git_sources import fetches
from assembler_runner.requests.prepare import check_amount
from assembler_runner.services import Services
from assembler_runner.targets import PublishedSpace, Target
from assembler_runner.targets.realm_targets import HUB

FETCHED_AT_ONCE = 8


@dataclass(frozen=True)
class CopiedFiles:
    """The files of a Space of the Hub.

    Args:
        files: path → content.
        source: url, ref, subdirectory and commit, as they are recorded with the request.
    """

    files: dict[str, Content]
    source: dict[str, str]


def read(
    services: Services, target: Target, space: PublishedSpace, oid: str | None, spool: Spool, problem: str
) -> dict[str, Content]:
    """Reads all files of a commit, except those of the target itself.

    Args:
        services: the services of this process.
        target: the target.
        space: the Space.
        oid: the commit; None if there is none, and so no files.
        spool: receives the files.
        problem: the message if the files exceed the limits.
    Returns:
        Path → content.
    Raises:
        InvalidRequest: the files exceed the limits.
        TargetError: the target does not respond.
    """
    listed = target.files_at(space, oid) if oid else {}
    listed = {path: file for path, file in listed.items() if path not in target.own_files}
    findings = check_amount(services.settings, {path: file.size for path, file in listed.items()})
    findings += [finding for path in listed for finding in check_path(path)]
    if findings:
        raise InvalidRequest(problem, issues=findings)
    one_at_a_time = threading.Lock()

    def fetch(path: str) -> tuple[str, Content]:
        with target.open_file(space, path, oid or "") as file, one_at_a_time:
            return path, spool.add(pieces_of(file), path)

    with ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="files") as pool:
        tasks = [pool.submit(copy_context().run, fetch, path) for path in sorted(listed)]
        try:
            return dict(task.result() for task in tasks)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def copy_of(services: Services, account: Account, name: str, spool: Spool) -> CopiedFiles:
    """Reads the files of a Space of the Hub that the realm may see; no transaction stays open meanwhile.

    Args:
        services: the services of this process.
        account: the caller.
        name: namespace/name.
        spool: receives the files.
    Raises:
        InvalidRequest: there is no such Space, or its files exceed the limits.
        TargetError: the Hub does not respond.
        TooManyRequests: too many sources are being read.
    """
    with fetches.take(services.settings.MAX_GIT_FETCHES, account.id, account.realm_id) as taken:
        if not taken:
            message = "Too many git repositories and Spaces are being read."
            raise TooManyRequests(message, hint="Send the request again in a few seconds.", retry_after=5)
        # Without a token of the realm, only what everybody may see.
        hub = services.targets.find(account.realm_id, HUB) or services.targets.hub("")
        db.session.rollback()
        namespace, _, last = name.partition("/")
        space = PublishedSpace(namespace, last, services.targets.url_of(HUB, namespace, last) or "")
        try:
            oid = hub.head(space).oid
        except (TargetNotFound, TargetUnauthorized):
            hint = "Check the spelling of NAMESPACE/NAME; a private Space needs a Hub token of the realm that sees it."
            message = "The Hub has no such Space, or does not show it to this realm."
            raise InvalidRequest(issues=[Finding("unknown_space", message, path="copy_of", hint=hint)]) from None
        files = read(services, hub, space, oid, spool, "The Space cannot be copied: its files exceed the limits.")
    return CopiedFiles(files, {"url": space.url, "ref": "", "subdirectory": "", "commit": oid or ""})
