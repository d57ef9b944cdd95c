"""Keyword arguments of the methods: unknown fields are rejected before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from assembler_client.errors import invalid_input
from assembler_client.models import Finding, Model
from assembler_client.types import FileContent, Ref, id_of

Visibility = Literal["public", "private", "protected"]
OnFailure = Literal["keep", "private", "delete"]
_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


# A word of Python, which cannot be declared like the others.
_As = TypedDict("_As", {"as": Literal["me"]}, total=False)


class _Published(_As, total=False):
    space_type: str
    parameters: Mapping[str, Any] | None
    name: str
    target: str
    visibility: Visibility
    hardware: str
    sleep_time: int
    labels: Sequence[str]
    expires_at: datetime | None
    on_failure: OnFailure
    fixes: Literal["none", "safe"]
    allow: Sequence[str]
    callback_url: str
    callback_secret: str


class SpaceFields(_Published, total=False):
    """Fields of a new Space; see POST /spaces."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    files: Mapping[str, FileContent]
    archive: Mapping[str, str]
    git: Mapping[str, str]
    copy_of: str
    options: Mapping[str, Any]
    namespace: str
    secrets: Mapping[str, str]
    variables: Mapping[str, str]
    template: str
    verify: bool


class SpaceChanges(_Published, total=False):
    """Fields of a change; omitted fields stay unchanged, None removes a value; see POST /spaces/{id}."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    files: Mapping[str, FileContent | None]
    archive: Mapping[str, str]
    git: Mapping[str, str]
    mode: Literal["replace", "merge"]
    force: bool
    options: Mapping[str, Any] | None
    namespace: str | None
    secrets: Mapping[str, str | None]
    variables: Mapping[str, str | None]
    template: str | None


class DiagnosisFields(TypedDict, total=False):
    """A log, and what is known of the app that wrote it; see POST /diagnoses."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    log: str
    kind: Literal["build", "run"]
    space_type: str | None
    files: Sequence[str]
    card: Mapping[str, Any] | None
    stage: str | None
    said: str | None


class BulkChanges(TypedDict, total=False):
    """Changes of the bulk command update."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    add_labels: Sequence[str]
    remove_labels: Sequence[str]
    expires_at: datetime | str | None


class CommandFields(TypedDict, total=False):
    """Arguments of a command, apart from its name."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    request_id: Ref
    force: bool
    hardware: str
    sleep_time: int
    name: str
    namespace: str
    visibility: Visibility
    secrets: Mapping[str, str]
    variables: Mapping[str, str | None]
    labels: Sequence[str]
    expires_at: datetime | None
    callback_url: str
    callback_secret: str


class _WebhookFields(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    description: str | None
    event_types: Sequence[str]
    active: bool


class _NewWebhook(_WebhookFields, total=False):
    space_id: Ref
    secret: str


class NewWebhook(_NewWebhook):
    """Fields of a new webhook."""

    url: str


class WebhookChanges(_WebhookFields, total=False):
    """Fields of a change to a webhook."""

    url: str


class BucketFields(TypedDict, total=False):
    """Fields of a bucket."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    region: str | None
    realm_id: Ref


class _Limits(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    display_name: str | None
    max_spaces: int | None
    max_requests_per_hour: int | None
    max_bytes: int | None


class RealmFields(_Limits, total=False):
    """Fields of a realm; `name` is required for a new one."""

    description: str | None
    share_default_hub: bool
    allow_agents: bool


class UserFields(_Limits, total=False):
    """Fields of a user; `name` is required for a new one."""

    first_name: str | None
    last_name: str | None
    email: str | None
    avatar: str | None
    cover: str | None
    active: bool
    name_locked: bool
    password: str | None
    realm_id: Ref
    roles: list[str]


class SelfFields(TypedDict, total=False):
    """Fields that an account may change on itself."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    display_name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    password: str
    current_password: str


class RobotFields(_Limits, total=False):
    """Fields of a robot; `name` is required for a new one; the secret is generated if omitted."""

    description: str | None
    active: bool
    secret: str | None
    user_id: Ref | None
    realm_id: Ref
    roles: list[str]


class ClientFields(RobotFields, total=False):
    """Fields of a client; `name` is required for a new one."""

    redirect_uri: str | None
    grant_types: str | None
    base_url: str | None
    auth_method: str
    token_binding_method: str
    backchannel_logout_uri: str | None
    post_logout_redirect_uri: str | None


class RoleFields(TypedDict, total=False):
    """Fields of a role; `name` is required for a new one."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    display_name: str | None
    description: str | None
    target: Literal["user", "robot", "client"] | None
    realm_id: Ref | None


class PermissionFields(TypedDict, total=False):
    """Fields of a permission; `name` is required for a new one."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    display_name: str | None
    description: str | None
    realm_id: Ref | None


class _HubCredentialFields(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    namespaces: Sequence[str]
    default_namespace: str


class HubCredentialFields(_HubCredentialFields):
    """The Hub token a realm publishes with."""

    token: str


class TrustedPublisherChanges(TypedDict, total=False):
    """Changes of a trusted publisher."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    robot_id: Ref
    issuer: str
    subject: str | None
    claims: dict[str, str | int | bool]


class _TrustedPublisherFields(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    subject: str | None
    claims: dict[str, str | int | bool]


class TrustedPublisherFields(_TrustedPublisherFields):
    """A pipeline that acts as a robot without a stored secret."""

    robot_id: Ref
    issuer: str


class _PersonalTokenFields(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    name: str
    expires_at: datetime | str | None


class PersonalTokenFields(_PersonalTokenFields):
    """A new token of the calling person."""

    scopes: list[str]


class _GitCredentialFields(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]  # pydantic's way for TypedDict
    username: str


class GitCredentialFields(_GitCredentialFields):
    """Credentials for private git repositories of one host."""

    password: str


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind)
    except PydanticUserError as problem:
        raise TypeError(f"{kind.__name__} cannot be checked") from problem


def body_of(kind: Any, fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Validates keyword arguments and converts them to JSON.

    Args:
        kind: one of the classes above.
        fields: the arguments.
        more: fields that are not validated.
    Raises:
        InvalidRequest: one finding for each unknown field and each value of a wrong type.
    """
    try:
        _adapter(kind).validate_python(dict(fields))
    except ValidationError as problem:
        known = ", ".join(sorted(kind.__annotations__))
        raise invalid_input([_finding(error, known) for error in problem.errors()]) from None
    return {name: plain(value) for name, value in {**fields, **more}.items()}


def plain(value: Any) -> Any:
    """Converts an argument to JSON: objects become their ids, timestamps become text."""
    if isinstance(value, Model):
        return id_of(value)  # type: ignore[arg-type]  # id_of checks it
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _finding(error: Any, known: str) -> Finding:
    path = ".".join(str(part) for part in error["loc"][:2])
    if error["type"] == "extra_forbidden":
        return Finding(code="unknown_field", path=path, message="Unknown field.", hint=f"Known fields: {known}.")
    if error["type"] == "missing":
        return Finding(code="required", path=path, message="This field is required.")
    return Finding(code="invalid_field", path=path, message=f"{error['msg']}.")
