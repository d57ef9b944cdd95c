"""/auth/token: tokens for a password or a refresh token."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_smorest import Blueprint

from assembler_runner import auth
from assembler_runner.api.common import fails, load, read_object, takes
from assembler_runner.schemas import TokenInput, TokenSchema

blueprint = Blueprint("auth", __name__, url_prefix="/auth", description="Tokens.")


@blueprint.post("/token")
@blueprint.doc(security=[], **takes(TokenInput))
@blueprint.doc(**fails(400, 422))
@blueprint.response(200, TokenSchema)
@auth.public
def create_token() -> dict[str, Any]:
    """Get tokens

    With grant_type password (username, password) or refresh_token. A form is taken as well as JSON.
    """
    body = request.form.to_dict() if request.mimetype == "application/x-www-form-urlencoded" else read_object()
    data = load(TokenInput(), body)
    if data["grant_type"] == "refresh_token":
        return auth.refresh(data["refresh_token"])
    return auth.log_in(data["username"], data["password"], data.get("realm"))
