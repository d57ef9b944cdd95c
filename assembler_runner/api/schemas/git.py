"""Schemas of git repositories as sources of files, and of the credentials for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import marshmallow as ma

from assembler_runner.accounts.models import GitCredential
from assembler_runner.api.schemas.base import AutoSchema
from assembler_runner.requests.git_sources import MAX_REF, check_git_url, check_ref, check_subdirectory

_CONTROL = r"[^\x00-\x1f\x7f]+"


def _valid(check: Callable[[str], str | None], what: str) -> Callable[[str], None]:
    def validate(value: str) -> None:
        problem = check(value)
        if problem is not None:
            raise ma.ValidationError(f"{what} {problem}.")

    return validate


def _url(*, required: bool) -> ma.fields.String:
    return ma.fields.String(
        required=required,
        validate=[ma.validate.Length(1, 500), _valid(check_git_url, "The address")],
        metadata={"description": "https address of the repository.", "example": "https://github.com/me/app"},
    )


class GitInput(ma.Schema):
    """A git repository whose files are published."""

    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE

    url = _url(required=False)
    ref = ma.fields.String(
        validate=[ma.validate.Length(1, MAX_REF), _valid(check_ref, "This")],
        metadata={"description": "Branch, tag or whole commit id; by default the repository's default branch."},
    )
    subdirectory = ma.fields.String(
        validate=[ma.validate.Length(1, 500), _valid(check_subdirectory, "This")],
        metadata={"description": "Folder of the repository that becomes the root of the Space."},
    )


class NewGitInput(GitInput):
    """A git repository for a new Space."""

    url = _url(required=True)


class GitSourceSchema(ma.Schema):
    """The commit that files were read from."""

    url = ma.fields.String()
    ref = ma.fields.String(metadata={"description": "Branch, tag or commit as requested; empty: the default branch."})
    subdirectory = ma.fields.String(metadata={"description": "Folder of the repository; empty: its root."})
    commit = ma.fields.String(metadata={"description": "Id of the commit."})


class GitCredentialInput(ma.Schema):
    """Credentials for a git host."""

    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE

    username = ma.fields.String(
        load_default="git",
        validate=[ma.validate.Length(1, 255), ma.validate.Regexp(f"(?!-){_CONTROL}$")],
        metadata={"description": "User name; for a token often any word."},
    )
    password = ma.fields.String(
        required=True,
        validate=[ma.validate.Length(1, 1000), ma.validate.Regexp(f"{_CONTROL}$")],
        metadata={"description": "Password or token; never shown again."},
    )


class GitCredentialSchema(AutoSchema):
    """Git credentials of a realm for a host; never the password."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = GitCredential
        include_fk = True
        fields: tuple[Any, ...] = ("realm_id", "host", "username", "key_id", "created_at", "updated_at")
