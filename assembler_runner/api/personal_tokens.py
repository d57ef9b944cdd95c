"""/auth/tokens: tokens of the caller for programs."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, make_response, request

from assembler_runner.accounts import personal_tokens
from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import ANY_ACCOUNT
from assembler_runner.accounts.personal_tokens import PersonalToken
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.personal_tokens import (
    NewPersonalTokenSchema,
    PersonalTokenInput,
    PersonalTokenSchema,
)
from assembler_runner.core.database import db
from assembler_runner.core.listing import Listing, read_page

blueprint = Blueprint("personal tokens", __name__, url_prefix="/auth", description="Tokens of a person for programs.")

_LISTING = Listing(
    {name: getattr(PersonalToken, name) for name in ("id", "name", "created_at", "expires_at", "used_at")},
    PersonalToken.id,
)


@blueprint.get("/tokens")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.lists(_LISTING)
@blueprint.doc(**fails(400))
@blueprint.response(200, list_of(PersonalTokenSchema))
def list_personal_tokens() -> dict[str, Any]:
    """List the own tokens, without the tokens themselves"""
    page = read_page(db.session(), personal_tokens.own_tokens(current_account()), _LISTING, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.post("/tokens")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**takes(PersonalTokenInput))
@blueprint.doc(**fails(400, 409, 422))
@blueprint.response(201, NewPersonalTokenSchema)
def create_personal_token() -> Response:
    """Create a token that acts for the caller

    It may use the permissions in `scopes` until `expires_at`. Only a person who has signed in can create one. A new
    password of the person ends all of them.
    """
    data = load(PersonalTokenInput(), read_object())
    row = personal_tokens.create(current_account(), data["name"], data["scopes"], data.get("expires_at"))
    return make_response(jsonify(NewPersonalTokenSchema().dump(row)), 201)


@blueprint.get("/tokens/<token_id>")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**fails(404))
@blueprint.response(200, PersonalTokenSchema)
def get_personal_token(token_id: str) -> PersonalToken:
    """Get an own token, without the token itself"""
    return personal_tokens.find(current_account(), token_id)


@blueprint.delete("/tokens/<token_id>")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**fails(404))
@blueprint.response(202, PersonalTokenSchema)
def delete_personal_token(token_id: str) -> Response:
    """Delete an own token, which ends it at once"""
    shown = PersonalTokenSchema().dump(personal_tokens.remove(current_account(), token_id))
    return make_response(jsonify(shown), 202)
