"""Responses of the service as Pydantic models: lenient, so that a newer service never breaks an older client."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from assembler_client.models.findings import Edit, Excerpt, Finding, FindingRule, Fix, Model, Problem

__all__ = ["Edit", "Excerpt", "Finding", "FindingRule", "Fix", "Model", "Problem"]


class Thing(Model):
    """An object with an id."""

    id: UUID
    created_at: datetime | None = None
    updated_at: datetime | None = None


class ErrorResponse(Model):
    """Body of an error response."""

    status_code: int
    code: str
    message: str
    hint: str | None = None
    issues: list[Finding] = []


class Meta(Model):
    """Metadata of a list."""

    total: int = 0
    limit: int = 0
    offset: int = 0
    after: str | None = None


class Failure(Model):
    """Why a request failed."""

    code: str
    message: str = ""
    hint: str | None = None
    details: dict[str, Any] | None = None


class PluginReference(Model):
    """Name and version of the plugin that assembled a tree."""

    name: str
    version: str | None = None


class File(Model):
    """A file of a published tree; `origin` is given, default, generated or adopted."""

    path: str
    size: int
    sha256: str
    origin: str = ""


class Commit(Model):
    """A commit on the target."""

    oid: str
    url: str | None = None


class GitSource(Model):
    """The commit that files were read from."""

    url: str
    ref: str = ""
    subdirectory: str = ""
    commit: str

    def __str__(self) -> str:
        """Returns address, ref, folder and commit in one line."""
        ref, folder = f"@{self.ref}" if self.ref else "", f"#{self.subdirectory}" if self.subdirectory else ""
        return f"{self.url}{ref}{folder}, commit {self.commit[:12]}"


class Request(Thing):
    """A requested change of a Space; `status` is queued, running, succeeded, failed or cancelled."""

    space_id: UUID
    number: int | None = None
    action: str = ""
    status: str = ""
    space_type: str = ""
    plugin: PluginReference | None = None
    parameters: Any = None
    options: Any = None
    files: list[File] = []
    tree_digest: str | None = None
    commit: Commit | None = None
    git: GitSource | None = None
    findings: list[Finding] = []
    unchanged: bool = False
    attempts: int = 0
    error: Failure | None = None
    on_failure: str | None = None
    queue_position: int | None = None
    expected_start_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Space(Thing):
    """A Space; `state` is the state of its app, `problem` the reason if the app does not run."""

    name: str
    namespace: str | None = None
    url: str | None = None
    app_url: str | None = None
    target: str = ""
    space_type: str = ""
    visibility: str = ""
    state: str = ""
    state_since: datetime | None = None
    state_checked_at: datetime | None = None
    state_source: str | None = None
    stage: str | None = None
    problem: Problem | None = None
    realm_id: UUID | None = None
    owner_id: UUID | None = None
    labels: list[str] = []
    secret_names: list[str] | None = None
    variables: dict[str, str] = {}
    commit_oid: str | None = None
    foreign_oid: str | None = None
    expires_at: datetime | None = None
    findings: list[Finding] = []
    latest_request: Request | None = None


class PreviewFile(File):
    """A file that would be published, with its content if requested."""

    content: str | None = None
    encoding: str | None = None


class Base(Model):
    """The release and commit that a change is based on."""

    request_id: UUID | None = None
    commit_oid: str | None = None


class FileDiff(Model):
    """A file that a change touches; `diff` is None for binary files."""

    path: str
    diff: str | None = None


class Diff(Model):
    """Differences between a change and the published tree."""

    added: list[FileDiff] = []
    changed: list[FileDiff] = []
    deleted: list[FileDiff] = []


class Preview(Model):
    """The tree that would be published; `base` and `diff` are set for a change of an existing Space."""

    files: list[PreviewFile] = []
    findings: list[Finding] = []
    tree_digest: str | None = None
    git: GitSource | None = None
    base: Base | None = None
    diff: Diff | None = None


class FixPreview(Preview):
    """The fix of a problem, with the tree that it would publish and the differences."""

    title: str = ""
    safe: bool = False
    edits: list[Edit] = []
    options: dict[str, Any] = {}


class Opened(Model):
    """Where the app of a Space is opened; `expires_at` is the end of the ticket, None if it needs none."""

    url: str
    expires_at: datetime | None = None


class Event(Model):
    """An event of a Space or of one of its requests."""

    id: int
    space_id: UUID | None = None
    request_id: UUID | None = None
    type: str
    message: str | None = None
    data: dict[str, Any] = {}
    created_at: datetime | None = None


class LogLine(Model):
    """A line of a log."""

    timestamp: datetime | None = None
    text: str = ""


class LogMeta(Model):
    """Metadata of a log: its kind, and a note for the reader."""

    total: int = 0
    limit: int = 0
    offset: int = 0
    kind: str = ""
    note: str | None = None


class Log(Model):
    """The last lines of a log."""

    data: list[LogLine] = []
    meta: LogMeta = LogMeta()

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "".join(f"{line.text}\n" for line in self.data)


class Template(Model):
    """A starter app of a space type."""

    name: str
    description: str = ""
    files: list[str] = []
    parameters: dict[str, Any] = {}


class SpaceType(Model):
    """A space type; `options` is the JSON Schema of its options."""

    name: str
    version: str = ""
    versions: list[str] = []
    sdk: str = ""
    description: str = ""
    tags: list[str] = []
    options: dict[str, Any] = {}
    default_files: list[str] = []
    templates: list[Template] = []


class Plugin(Model):
    """A plugin found by the service, with its state."""

    name: str
    version: str | None = None
    source: str = ""
    state: str = ""
    error: str | None = None
    note: str | None = None


class Bucket(Thing):
    """A container for uploaded files that requests can refer to."""

    name: str
    region: str | None = None
    actor_type: str = ""
    actor_id: UUID | None = None
    realm_id: UUID | None = None


class BucketFile(Thing):
    """A version of a file in a bucket; `hash` is its SHA-256."""

    name: str = ""
    path: str = ""
    hash: str = ""
    directory: str = ""
    size: int | None = None
    actor_type: str = ""
    actor_id: UUID | None = None
    realm_id: UUID | None = None
    bucket_id: UUID
    bucket: Bucket | None = None


class Webhook(Thing):
    """A subscription to events; `secret` is shown only on creation."""

    url: str
    description: str | None = None
    event_types: list[str] = []
    active: bool = True
    realm_id: UUID | None = None
    owner_id: UUID | None = None
    space_id: UUID | None = None
    request_id: UUID | None = None
    secret: str | None = None


class Delivery(Model):
    """A delivery of an event to a webhook."""

    id: UUID
    webhook_id: UUID
    event_id: int | None = None
    status: str = ""
    attempts: int = 0
    answer_status: int | None = None
    error: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None


class WebhookCommandAnswer(Model):
    """Result of a webhook command."""

    command: str
    secret: str | None = None
    replayed: int | None = None
    delivery_id: UUID | None = None


class FailureCause(Model):
    """A cause of failed requests and its number of occurrences."""

    code: str
    count: int = 0
    message: str = ""
    hint: str | None = None
    newest: datetime | None = None


class Refused(Model):
    """An object that rejected a bulk command."""

    id: UUID
    name: str | None = None
    code: str = ""
    message: str = ""


class Retried(Model):
    """The failed requests that were queued again."""

    retried: list[UUID] = []
    refused: list[Refused] = []


class BulkItem(Model):
    """A Space that accepted a bulk command."""

    id: UUID
    name: str = ""
    request_id: UUID | None = None


class Bulk(Model):
    """Result of a bulk command; `left` Spaces remain for another call."""

    command: str = ""
    dry_run: bool = False
    accepted: list[BulkItem] = []
    refused: list[Refused] = []
    left: int = 0


class Health(Model):
    """Readiness of the service; each component is ok or unavailable."""

    status: str = ""
    database: str | None = None
    broker: str | None = None
    workers: str | None = None
