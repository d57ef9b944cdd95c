"""A git repository as the source of a request's files: its address is checked, and one commit of it is read."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from assembler_runner.accounts import git_credentials
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Finding, InvalidRequest, TooManyRequests
from assembler_runner.core.git import COMMIT, HOST, GitFailed, GitLogin
from assembler_runner.core.safe_http import CallFailed, resolve, url_problem
from assembler_runner.core.settings import Settings
from assembler_runner.core.shares import Shares
from assembler_runner.core.visible import visible
from assembler_runner.files.content import Content, Spool
from assembler_runner.files.git_tree import FIELD, GitBudget, GitPlace, read_commit
from assembler_runner.files.paths import check_path
from assembler_runner.services import Services

MAX_REF = 200
_REF = re.compile(r"(?!-)[^\x00-\x20\x7f~^:?*\[\\]+")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
_SAID = 200
_LOGIN = ("Authentication failed", "could not read Username", "could not read Password", "HTTP 401", "HTTP 403")

# Each fetch uses a thread and a process until it ends.
fetches = Shares()


class GitUnavailable(AssemblerError):
    """A git repository did not respond, or not in time."""

    status = 502
    code = "git_unavailable"
    retryable = True
    default_message = "The git repository did not respond."
    default_hint = "Check the address, then send the request again."


@dataclass(frozen=True)
class GitFiles:
    """The files of a commit.

    Args:
        files: path → content.
        source: url, ref, subdirectory and commit, as they are recorded with the request.
        remarks: findings that do not stop the request.
    """

    files: dict[str, Content]
    source: dict[str, str]
    remarks: list[Finding]


def check_git_url(url: str) -> str | None:
    """Returns why an address cannot be fetched from, as the end of a sentence; None if it can."""
    parts = urlsplit(url) if url.startswith(("https://", "http://")) else None
    if parts is None:
        return "must start with https:// (or http://); other protocols are not available for Spaces"
    if "@" in parts.netloc:
        return "must not contain credentials: an administrator of the realm sets them with assembler git-credential"
    if not HOST.fullmatch(parts.netloc) or not parts.path.strip("/"):
        return "must name a host and a repository"
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return "must have no query and no fragment: ref and subdirectory are fields of their own"
    return None


def check_ref(ref: str) -> str | None:
    """Returns why a name is no branch, tag or commit, as the end of a sentence, or None (git check-ref-format)."""
    if len(ref) > MAX_REF or not _REF.fullmatch(ref) or ".." in ref or "@{" in ref or "//" in ref:
        return "is not the name of a branch, a tag or a commit"
    if ref.startswith(("/", ".")) or ref.endswith(("/", ".", ".lock")):
        return "is not the name of a branch, a tag or a commit"
    if _SHORT_COMMIT.fullmatch(ref) and any(letter.isdecimal() for letter in ref) and not COMMIT.fullmatch(ref):
        return "looks like a shortened commit: write all 40 digits, or the name of a branch or tag as refs/heads/…"
    return None


def complete(given: Mapping[str, str], recorded: Mapping[str, str] | None) -> GitPlace:
    """Returns what to read: the given fields, and those of the recorded source of the Space for the others.

    Args:
        given: url, ref and subdirectory; all may be left out.
        recorded: the source of the newest release that was read from a repository, or None.
    Raises:
        InvalidRequest: there is no url.
    """
    kept = recorded if recorded and given.get("url") in (None, recorded["url"]) else None
    fields = {**{name: value for name, value in (kept or {}).items() if name != "commit"}, **given}
    if "url" not in fields:
        message = "No address was sent, and no release of this Space was read from a git repository."
        raise InvalidRequest(issues=[Finding("required", message, path=f"{FIELD}.url", hint="Send git.url.")])
    return GitPlace(fields["url"], fields.get("ref", ""), fields.get("subdirectory", ""))


def check_subdirectory(folder: str) -> str | None:
    """Returns why a folder is not valid, as the end of a sentence; None if it is."""
    return "is not a folder of a repository" if check_path(folder) or folder.startswith(("-", ":")) else None


def read(services: Services, account: Account, realm_id: str, place: GitPlace, spool: Spool) -> GitFiles:
    """Reads the files of a commit; no transaction stays open meanwhile.

    Args:
        services: the services of this process.
        account: the caller.
        realm_id: the realm whose credentials are used.
        place: what to read.
        spool: receives the files.
    Raises:
        GitUnavailable: the repository does not respond.
        InvalidRequest: the address may not be reached, or there is no such repository, ref or folder.
        TooLarge: a limit is exceeded.
        TooManyRequests: too many repositories are being read.
    """
    settings = services.settings
    with fetches.take(settings.MAX_GIT_FETCHES, account.id, account.realm_id) as taken:
        if not taken:
            message = "Too many git repositories are being read."
            raise TooManyRequests(message, hint="Send the request again in a few seconds.", retry_after=5)
        host = urlsplit(place.url).netloc.lower()
        found = git_credentials.login_for(services.vault, realm_id, host)
        db.session.rollback()
        address = _resolved(settings, place.url)
        login = _login(settings, place.url, address, found)
        resolved = _pinned(place.url, address)
        try:
            tree = read_commit(place, login, resolved, spool, _budget(settings), services.instance / "incoming")
        except GitFailed as problem:
            raise _explained(problem, login) from None
    source = {"url": place.url, "ref": place.ref, "subdirectory": place.subdirectory, "commit": tree.commit}
    return GitFiles(tree.files, source, tree.findings)


def _budget(settings: Settings) -> GitBudget:
    return GitBudget(
        most_transferred=settings.MAX_GIT_BYTES,
        most_seconds=settings.MAX_GIT_SECONDS,
        most_files=settings.MAX_FILES,
        most_bytes=settings.MAX_SPACE_BYTES,
        most_file_bytes=settings.MAX_FILE_BYTES,
    )


def _login(settings: Settings, url: str, address: str, found: tuple[str, str] | None) -> GitLogin | None:
    """Returns the credentials to use; over http they are sent only inside networks that the operator allows."""
    inside = any(ipaddress.ip_address(address) in network for network in settings.webhook_allowed_networks)
    if found is None or url.startswith("https://") or inside:
        return GitLogin(url, *found) if found else None
    message = "The credentials of the realm for this host are not sent over http://."
    raise InvalidRequest(issues=[Finding("git_address", message, path=f"{FIELD}.url", hint="Use https://.")])


def _resolved(settings: Settings, url: str) -> str:
    """Returns the address of the host, after a check: it is resolved only once."""
    allowed = settings.webhook_allowed_networks
    try:
        problem = url_problem(url, allowed)
        address = resolve(url, allowed) if problem is None else ""
    except CallFailed as failed:
        problem = str(failed)
    if problem is not None:
        hint = "Use a public address; the operator can allow others with WEBHOOK_ALLOWED_NETWORKS."
        message = f"The address of the git repository cannot be used: {problem}."
        raise InvalidRequest(issues=[Finding("git_address", message, path=f"{FIELD}.url", hint=hint)])
    return address


def _pinned(url: str, address: str) -> str:
    """Returns the setting that makes git connect to this address."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}:{f'[{address}]' if ':' in address else address}"


def _explained(problem: GitFailed, login: GitLogin | None) -> AssemblerError:
    """Translates what git said; its words come from outside, so they are quoted and cut."""
    said = problem.said
    if problem.late:
        return GitUnavailable(f"The git repository could not be read in time: {said}.")
    if any(word in said for word in _LOGIN):
        message = "The repository needs credentials" + (", and refused those of the realm." if login else ".")
        hint = "Check the address; an administrator of the realm sets credentials with assembler git-credential set."
        return _refusal("git_login", message, hint)
    if "not found" in said or "does not exist" in said:
        hint = "Check the address. A private repository may need credentials: assembler git-credential set."
        return _refusal("git_not_found", "There is no such git repository.", hint)
    if "couldn't find remote ref" in said or "not our ref" in said:
        return _refusal("git_ref", "The repository has no such branch, tag or commit.", "Correct git.ref.", "ref")
    if "redirect" in said or "returned error: 30" in said:
        hint = "Send the address that it redirects to; some servers need .git at the end."
        return _refusal("git_redirect", "The address of the repository redirects to another one.", hint)
    return GitUnavailable(f"The git repository could not be read: {visible(said)[:_SAID]!r}.")


def _refusal(code: str, message: str, hint: str, name: str = "url") -> InvalidRequest:
    return InvalidRequest(issues=[Finding(code, message, path=f"{FIELD}.{name}", hint=hint)])
