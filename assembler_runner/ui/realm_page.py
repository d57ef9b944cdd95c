"""/ui/realms/{id}: settings of a realm, the Hub token with which it publishes, and the pipelines that sign in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.directory import Realms
from assembler_runner.accounts.models import HubCredential, Robot
from assembler_runner.accounts.permissions import requires
from assembler_runner.accounts.trusted_publishers import TrustedPublisher, TrustedPublishers
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.accounts import QUOTAS, HubCredentialInput, RealmInput
from assembler_runner.api.schemas.trusted_publishers import TrustedPublisherInput
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError
from assembler_runner.services import current_services
from assembler_runner.targets import hub_credentials
from assembler_runner.ui.layout import go, may, pages, show

_REALMS, _PUBLISHERS = Realms(), TrustedPublishers()
_MOST_ROWS = 200

ISSUERS = ("https://token.actions.githubusercontent.com", "https://gitlab.com")
"""Issuers of the tokens of pipelines that the page suggests (documentation of GitHub and GitLab)."""


@pages.get("/realms/<realm_id>")
@requires("realm_read")
def one_realm(realm_id: str) -> Response:
    """Shows a realm."""
    return _show(realm_id)


def _show(realm_id: str, status: int = 200, **values: Any) -> Response:
    realm = _REALMS.find(current_account(), realm_id)
    credential = db.session.get(HubCredential, realm.id) if may("hub_credential_read") else None
    shown: dict[str, Any] = {"realm": realm, "credential": credential, "quotas": QUOTAS}
    shown["calls_left"] = current_services().targets.calls_left(realm.id)
    shown["publishers"] = _rows(TrustedPublisher, realm.id) if may("robot_read") else None
    shown["robots"] = _rows(Robot, realm.id) if may("robot_manage") else []
    return show("realm.html", status, **shown, issuers=ISSUERS, **values)


def _rows(model: type[TrustedPublisher] | type[Robot], realm_id: str) -> list[Any]:
    query = sa.select(model).where(model.realm_id == realm_id)
    return list(db.session.scalars(query.order_by(model.name).limit(_MOST_ROWS)))


@pages.post("/realms/<realm_id>")
@requires("realm_read")
def change_realm(realm_id: str) -> AnyResponse:
    """Changes a realm: its texts, for managers of all realms also its limits."""
    account, form = current_account(), request.form
    account.require_permissions([_REALMS.may_update])
    body: dict[str, Any] = {name: form.get(name, "").strip() or None for name in ("display_name", "description")}
    body["allow_agents"] = "allow_agents" in form
    if may("realm_manage"):
        body |= {name: _whole(form.get(name, "")) for name in QUOTAS}
        body["share_default_hub"] = "share_default_hub" in form
    try:
        _REALMS.update(account, realm_id, load(RealmInput(partial=True), body))
    except AssemblerError as error:
        db.session.rollback()
        return _show(realm_id, error.status, problem=error, form=form)
    return go(f"/ui/realms/{realm_id}", done="saved")


@pages.post("/realms/<realm_id>/hub-token")
@requires("hub_credential_manage")
def change_hub_token(realm_id: str) -> AnyResponse:
    """Sets or removes the Hub token of a realm; the token is never shown again."""
    account, services, form = current_account(), current_services(), request.form
    try:
        if form.get("action") == "remove":
            hub_credentials.remove(account, realm_id)
            return go(f"/ui/realms/{realm_id}", done="removed")
        body: dict[str, Any] = {"token": form.get("token", "").strip()}
        if namespaces := [name.strip() for name in form.get("namespaces", "").split(",") if name.strip()]:
            body["namespaces"] = namespaces
        if default := form.get("default_namespace", "").strip():
            body["default_namespace"] = default
        hub_credentials.check_realm(account, realm_id)
        hub_credentials.store(services.targets, services.vault, account, realm_id, load(HubCredentialInput(), body))
    except AssemblerError as error:
        db.session.rollback()
        return _show(realm_id, error.status, problem=error, token_form=form)
    return go(f"/ui/realms/{realm_id}", done="token")


@pages.post("/realms/<realm_id>/pipelines")
@requires("robot_manage")
def trust_pipeline(realm_id: str) -> AnyResponse:
    """Lets a pipeline act as a robot of the realm."""
    account, form = current_account(), request.form
    _REALMS.find(account, realm_id)
    body = {name: form.get(name, "").strip() for name in ("name", "robot_id", "issuer", "subject")}
    try:
        _PUBLISHERS.create(account, load(TrustedPublisherInput(), body))
    except AssemblerError as error:
        db.session.rollback()
        return _show(realm_id, error.status, problem=error, pipeline_form=body)
    return go(f"/ui/realms/{realm_id}", done="trusted")


@pages.post("/realms/<realm_id>/pipelines/<publisher_id>")
@requires("robot_manage")
def distrust_pipeline(realm_id: str, publisher_id: str) -> AnyResponse:
    """Ends that a pipeline may act as a robot."""
    _PUBLISHERS.delete(current_account(), publisher_id)
    return go(f"/ui/realms/{realm_id}", done="distrusted")


def _whole(text: str) -> int | str | None:
    """Returns a number from a form; the schema reports what is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else text or None
