"""Spaces, their requests, releases and previews."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from assembler_client.models.common import Thing
from assembler_client.models.findings import Edit, Finding, Model, Problem
from assembler_client.models.literals import Action, OnFailure, Origin, SpaceState, StateSource, Status, Visibility


class Failure(Model):
    """Why a request failed."""

    code: str
    """Stable code, for programs."""
    message: str = ""
    """What happened."""
    hint: str | None = None
    """What to do next."""
    details: dict[str, Any] | None = None
    """Only with foreign_commit: both commits and the differences."""


class PluginReference(Model):
    """Name and version of the plugin that assembled a tree."""

    name: str
    """Type of the plugin."""
    version: str | None = None
    """Its version when the files were assembled."""


class File(Model):
    """A file of a published tree; `origin` is given, default, generated or adopted."""

    path: str
    """Path in the Space."""
    size: int
    """Size in bytes."""
    sha256: str
    """SHA-256 of the content."""
    origin: Origin = "given"
    """given, default, generated or adopted."""


class Commit(Model):
    """A commit on the target."""

    oid: str
    """SHA-1 of the commit."""
    url: str | None = None
    """Its page on the target."""


class GitSource(Model):
    """The commit that files were read from."""

    url: str
    """Address of the repository."""
    ref: str = ""
    """Branch, tag or commit that was asked for; empty for the default branch."""
    subdirectory: str = ""
    """Folder in the repository; empty for all of it."""
    commit: str
    """The commit."""

    def __str__(self) -> str:
        """Returns address, ref, folder and commit in one line."""
        ref, folder = f"@{self.ref}" if self.ref else "", f"#{self.subdirectory}" if self.subdirectory else ""
        return f"{self.url}{ref}{folder}, commit {self.commit[:12]}"


class Request(Thing):
    """A requested change of a Space; `status` is queued, running, succeeded, failed or cancelled."""

    shown = ("action", "status", "number", "id")

    space_id: UUID
    """Its Space."""
    number: int | None = None
    """Number among the requests of its Space; requests are processed in this order."""
    action: Action = "create"
    """Requested action: create, update, rollback, delete …."""
    status: Status = "queued"
    """queued, running, succeeded, failed or cancelled."""
    space_type: str = ""
    """Type of the Space."""
    plugin: PluginReference | None = None
    """The plugin that assembled the files."""
    parameters: Any = None
    """The parameters, as given."""
    options: Any = None
    """The options of the type, as given."""
    files: list[File] = []
    """The complete tree."""
    tree_digest: str | None = None
    """Digest over paths and contents of all files."""
    commit: Commit | None = None
    """The published commit; null before."""
    git: GitSource | None = None
    """The commit that its files were read from."""
    findings: list[Finding] = []
    """Warnings and notes about the tree."""
    unchanged: bool = False
    """Whether nothing changed, so that no commit was made."""
    attempts: int = 0
    """Number of attempts by workers."""
    error: Failure | None = None
    """Why it failed; null if it did not."""
    on_failure: OnFailure | None = None
    """What to do with a new Space whose first publication fails: keep, private or delete."""
    queue_position: int | None = None
    """Position in the queue, from 1; null if it is not queued."""
    expected_start_at: datetime | None = None
    """Estimated start, from the rate of recent requests; null if not known."""
    started_at: datetime | None = None
    """When a worker first claimed it, UTC."""
    finished_at: datetime | None = None
    """When it ended, UTC."""


class Space(Thing):
    """A Space; `state` is the state of its app, `problem` the reason if the app does not run."""

    shown = ("namespace", "name", "state", "url", "id")

    name: str
    """Name on its target."""
    namespace: str | None = None
    """User or organisation that owns it on its target; null until known."""
    url: str | None = None
    """Current or future URL of the Space; null if the namespace is not known yet."""
    app_url: str | None = None
    """URL of the running app, if this service runs it; see POST /spaces/{id}/open for private ones."""
    target: str = ""
    """Target it is published to: huggingface or local."""
    space_type: str = ""
    """Space type."""
    visibility: Visibility = "public"
    """public, private or protected."""
    state: SpaceState = "unknown"
    """State of the Space and its app."""
    state_since: datetime | None = None
    """When the state last changed, UTC."""
    state_checked_at: datetime | None = None
    """When the target was last probed, UTC; null if it was not probed yet."""
    state_source: StateSource | None = None
    """How the state was determined: service (set by this service), target (reported by the target), assumed (reported
    by the target, but possibly for an older commit) or timeout.
    """
    stage: str | None = None
    """Stage reported by the target."""
    problem: Problem | None = None
    """Why the app does not run; null if it does."""
    realm_id: UUID | None = None
    """Realm it belongs to."""
    owner_id: UUID | None = None
    """Account that created it."""
    publisher_id: UUID | None = None
    """Person whose own Hub token publishes it; null: the token of its realm."""
    labels: list[str] = []
    """Labels to filter by."""
    secret_names: list[str] | None = None
    """Names of its secrets, never values; null if not known."""
    variables: dict[str, str] = {}
    """Its public environment variables."""
    commit_oid: str | None = None
    """Live commit at the last probe; the ETag."""
    foreign_oid: str | None = None
    """The live commit if it is foreign; else null."""
    expires_at: datetime | None = None
    """When it is deleted automatically, UTC; null for never."""
    findings: list[Finding] = []
    """Findings about the tree of the latest request."""
    latest_request: Request | None = None
    """The newest request."""


class PreviewFile(File):
    """A file that would be published, with its content if requested."""

    content: str | None = None
    """Only with ?content=true."""
    encoding: str | None = None
    """utf-8 or base64."""


class Base(Model):
    """The release and commit that a change is based on."""

    request_id: UUID | None = None
    """The request that published it."""
    commit_oid: str | None = None
    """The commit that the change is based on."""


class FileDiff(Model):
    """A file that a change touches; `diff` is None for binary files."""

    path: str
    """The file."""
    diff: str | None = None
    """Unified diff; null if not text or too large."""


class Diff(Model):
    """Differences between a change and the published tree."""

    added: list[FileDiff] = []
    """New files."""
    changed: list[FileDiff] = []
    """Files with another content."""
    deleted: list[FileDiff] = []
    """Files that would be deleted."""


class Preview(Model):
    """The tree that would be published; `base` and `diff` are set for a change of an existing Space."""

    shown = ("tree_digest",)

    files: list[PreviewFile] = []
    """The complete tree."""
    findings: list[Finding] = []
    """All problems and remarks."""
    tree_digest: str | None = None
    """Digest of all paths and contents."""
    git: GitSource | None = None
    """The commit that the files were read from."""
    base: Base | None = None
    """What a change is based on; None for a new Space."""
    diff: Diff | None = None
    """Differences from the published tree; None for a new Space."""


class FixPreview(Preview):
    """The fix of a problem, with the tree that it would publish and the differences."""

    title: str = ""
    """What it does."""
    safe: bool = False
    """Whether it may be applied without review by a person."""
    edits: list[Edit] = []
    """Changes: path, action, line, old, new."""
    options: dict[str, Any] = {}
    """Options of the space type that it sets."""


class Opened(Model):
    """Where the app of a Space is opened; `expires_at` is the end of the ticket, None if it needs none."""

    url: str
    """URL to open in a browser; with a ticket it works once."""
    expires_at: datetime | None = None
    """When the ticket expires, UTC; null without one."""


class FailureCause(Model):
    """A cause of failed requests and its number of occurrences."""

    code: str
    """Stable code of the error."""
    count: int = 0
    """Number of requests that failed with it."""
    message: str = ""
    """Message of the newest failure."""
    hint: str | None = None
    """What to do."""
    newest: datetime | None = None
    """Time of the newest failure, UTC."""


class Refused(Model):
    """An object that rejected a bulk command."""

    id: UUID
    """The request."""
    name: str | None = None
    """Name of the object."""
    code: str = ""
    """Stable code of the error."""
    message: str = ""
    """Why it was not queued."""


class Retried(Model):
    """The failed requests that were queued again."""

    retried: list[UUID] = []
    """Ids of the requests that were queued again."""
    refused: list[Refused] = []
    """Those that were not."""


class BulkItem(Model):
    """A Space that accepted a bulk command."""

    id: UUID
    """The Space."""
    name: str = ""
    """Its name."""
    request_id: UUID | None = None
    """Null in a dry run."""


class Bulk(Model):
    """Result of a bulk command; `left` Spaces remain for another call."""

    command: str = ""
    """The command."""
    dry_run: bool = False
    """Whether nothing was done."""
    accepted: list[BulkItem] = []
    """Spaces it applies to."""
    refused: list[Refused] = []
    """Spaces it does not apply to."""
    left: int = 0
    """Number of matching Spaces beyond the limit of one call."""
