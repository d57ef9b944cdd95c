"""/auth/realms/{id}/hub-credential: the token with which a realm publishes to the Hub."""

from __future__ import annotations

from flask import Response, jsonify, make_response

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.models import HubCredential
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.accounts import HubCredentialInput, HubCredentialSchema
from assembler_runner.services import current_services
from assembler_runner.targets import hub_credentials

blueprint = Blueprint("hub credentials", __name__, url_prefix="/auth", description="The Hub tokens of realms.")

_PATH = "/realms/<realm_id>/hub-credential"


@blueprint.get(_PATH)
@blueprint.needs("hub_credential_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, HubCredentialSchema)
def get_hub_credential(realm_id: str) -> HubCredential:
    """Get the account of the realm's Hub token; the token is never shown"""
    return hub_credentials.find(current_account(), realm_id)


@blueprint.put(_PATH)
@blueprint.needs("hub_credential_manage")
@blueprint.doc(**takes(HubCredentialInput))
@blueprint.doc(**fails(400, 404, 422, 502, 503))
@blueprint.response(200, HubCredentialSchema)
def set_hub_credential(realm_id: str) -> HubCredential:
    """Set the realm's Hub token

    The token is validated by the Hub first. Without namespaces, the realm may publish wherever the token may.
    """
    hub_credentials.check_realm(current_account(), realm_id)
    values = load(HubCredentialInput(), read_object())
    services = current_services()
    return hub_credentials.store(services.targets, services.vault, current_account(), realm_id, values)


@blueprint.delete(_PATH)
@blueprint.needs("hub_credential_manage")
@blueprint.doc(**fails(404))
@blueprint.response(202, HubCredentialSchema)
def remove_hub_credential(realm_id: str) -> Response:
    """Delete the realm's Hub token"""
    shown = HubCredentialSchema().dump(hub_credentials.find(current_account(), realm_id))
    hub_credentials.remove(current_account(), realm_id)
    return make_response(jsonify(shown), 202)
