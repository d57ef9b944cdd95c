"""/auth/token: log in, renew, log out."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from assembler_runner.accounts import audit, auth, personal_tokens, tokens, trusted_publishers
from assembler_runner.accounts.permissions import account_of
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.tokens import TOKEN_EXCHANGE, RevokeInput, TokenInput, TokenSchema
from assembler_runner.core.database import db

blueprint = Blueprint("auth", __name__, url_prefix="/auth", description="Tokens.")


@blueprint.post("/token")
@blueprint.open()
@blueprint.doc(**takes(TokenInput))
@blueprint.doc(**fails(400, 422, 429, 502))
@blueprint.response(200, TokenSchema)
def create_token() -> dict[str, Any]:
    """Get tokens

    With grant_type password (username, password), refresh_token, robot_credentials (id, secret), client_credentials
    (client_id, client_secret) or urn:ietf:params:oauth:grant-type:token-exchange (subject_token of a pipeline that a
    trusted publisher names, subject_token_type). The body may be JSON or a form. A refresh token works once; the
    response contains the next one.
    """
    data = load(TokenInput(), _body())
    grant = data["grant_type"]
    if grant == "refresh_token":
        return tokens.renew(data["refresh_token"])
    if grant == "password":
        return auth.login(data["username"], data["password"], data.get("realm"))
    if grant == TOKEN_EXCHANGE:
        return trusted_publishers.exchange(data["subject_token"], data.get("client_id"))
    if grant == "robot_credentials":
        return auth.login_robot(data["id"], data["secret"], "robot")
    return auth.login_robot(data["client_id"], data["client_secret"], "client")


@blueprint.post("/token/revoke")
@blueprint.open()
@blueprint.doc(**takes(RevokeInput))
@blueprint.doc(**fails(400, 422))
@blueprint.response(200)
def revoke_token() -> Response:
    """Log out

    Revokes the token and all other tokens of the same login at once; a personal token is deleted. As RFC 7009 requires,
    the response for an unknown token is the same.
    """
    token = load(RevokeInput(), _body())["token"]
    if token.startswith(personal_tokens.PREFIX):
        personal_tokens.revoke(token)
        return jsonify({})
    session_id = tokens.session_of(token)
    ended = tokens.end(session_id) if session_id else None
    if ended is not None and (row := tokens.account_of_session(ended)) is not None:
        audit.record(account_of(row), "log_out", "session", ended.id, None, row.realm_id)
    db.session.commit()
    return jsonify({})


def _body() -> dict[str, Any]:
    is_form = request.mimetype == "application/x-www-form-urlencoded"
    return request.form.to_dict() if is_form else read_object()
