"""/auth/realms, users, robots, clients, roles, permissions, grants and the audit log: one row of a table each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from flask import Response, jsonify, make_response, request

from assembler_runner.accounts import models
from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.directory import AuditLog, Permissions, Realms, Robots, Roles, Users
from assembler_runner.accounts.grants import grants_of
from assembler_runner.accounts.permissions import ANY_ACCOUNT
from assembler_runner.accounts.personal_tokens import refuse_token
from assembler_runner.accounts.resources import Kind
from assembler_runner.accounts.trusted_publishers import TrustedPublishers
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas import accounts as schemas
from assembler_runner.api.schemas import grants
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.trusted_publishers import TrustedPublisherInput, TrustedPublisherSchema
from assembler_runner.core.database import db
from assembler_runner.core.errors import NotFound
from assembler_runner.core.listing import Listing, read_added, read_page

blueprint = Blueprint(
    "accounts", __name__, url_prefix="/auth", description="Realms, users, robots, roles and permissions."
)


@dataclass(frozen=True)
class Resource:
    """One row of the table below: a resource of the API.

    Args:
        path: the path below /auth.
        title: the name of one object.
        kind: the operations on the objects and the permissions they need.
        shown: the schema of responses.
        taken: the schema of bodies that create or change an object; None for a read-only resource.
        hidden: fields that are only shown if requested with `fields`.
        includes: nested objects that are only shown if requested with `include`.
        renamed: name in the JSON → name of the column, if they differ.
        changes: whether an object can be changed after its creation.
    """

    path: str
    title: str
    kind: Kind
    shown: type[ma.Schema]
    taken: type[ma.Schema] | None = None
    hidden: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    changes: bool = True

    @property
    def listing(self) -> Listing:
        """The fields for filters and sorting: every column that is shown."""
        columns = dict(self.renamed)
        fields = {}
        for name in self.shown().fields:
            column = getattr(self.kind.model, columns.get(name, name), None)
            if name not in self.includes and column is not None and hasattr(column, "asc"):
                fields[name] = column
        related = {f"{name}.name": found for name in self.includes if (found := self._related(name))}
        return Listing(
            fields, self.kind.model.id, "-created_at", includes=self.includes, optional=self.hidden, related=related
        )

    def _related(self, name: str) -> tuple[Any, Any] | None:
        """Returns the relationship of a nested object, and the column of its name; None if it is no relationship."""
        relation = getattr(
            self.kind.model, dict(self.renamed).get(f"{name}_id", f"{name}_id").removesuffix("_id"), None
        )
        return (relation, relation.property.mapper.class_.name) if relation is not None else None

    def dump(self, row: Any, added: frozenset[str] = frozenset(), many: bool = False) -> Any:
        """Returns the JSON of a row, or of several rows.

        Args:
            row: the row, or the rows.
            added: hidden fields and nested objects to show.
            many: whether `row` is several rows.
        """
        return self.shown(exclude={*self.hidden, *self.includes} - added).dump(row, many=many)


_USERS, _ROBOTS = Users(), Robots()
_AS_CLIENT = (("client_id", "robot_id"), ("client_realm_id", "robot_realm_id"))


def _grants(holder: str, granted: str, shown_as: str | None = None) -> Resource:
    name = shown_as or holder
    title = f"{name.capitalize()}{granted.capitalize()}"
    return Resource(
        f"{name}-{granted}s",
        f"{name} {granted}",
        grants_of(holder, granted),
        getattr(grants, f"{title}Schema"),
        getattr(grants, f"{title}Input"),
        includes=(name, granted, f"{name}_realm", f"{granted}_realm"),
        renamed=_AS_CLIENT if shown_as else (),
        changes=False,
    )


RESOURCES = (
    Resource("realms", "realm", Realms(), schemas.RealmSchema, schemas.RealmInput),
    Resource("users", "user", _USERS, schemas.UserSchema, schemas.UserInput, hidden=("email",), includes=("realm",)),
    Resource("robots", "robot", _ROBOTS, schemas.RobotSchema, schemas.RobotInput, includes=("realm",)),
    Resource("clients", "client", _ROBOTS, schemas.ClientSchema, schemas.ClientInput, includes=("realm",)),
    Resource("roles", "role", Roles(), schemas.RoleSchema, schemas.RoleInput, includes=("realm",)),
    Resource(
        "permissions",
        "permission",
        Permissions(),
        schemas.PermissionSchema,
        schemas.PermissionInput,
        includes=("realm",),
    ),
    _grants("role", "permission"),
    _grants("user", "role"),
    _grants("user", "permission"),
    _grants("robot", "role"),
    _grants("robot", "permission"),
    _grants("robot", "role", "client"),
    _grants("robot", "permission", "client"),
    Resource(
        "trusted-publishers", "trusted publisher", TrustedPublishers(), TrustedPublisherSchema, TrustedPublisherInput
    ),
    Resource("audit-log", "audit entry", AuditLog(), schemas.AuditSchema),
)

QUERY = [
    {"in": "query", "name": "fields", "schema": {"type": "string"}, "description": "Fields to add, such as +email."},
    {"in": "query", "name": "include", "schema": {"type": "string"}, "description": "Nested objects to add."},
]


@blueprint.get("/users/@me")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**fails(404))
@blueprint.response(200, schemas.MeSchema)
def get_me() -> Response:
    """Get the calling user with its permissions"""
    account = current_account()
    row = db.session.get(models.User, account.id)
    if row is None:
        raise NotFound("This account is not a user.", hint="Robots and clients are at /auth/robots/@me.")
    return jsonify(_me(row, account.permissions))


@blueprint.post("/users/@me")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**takes(schemas.SelfInput))
@blueprint.doc(**fails(400, 404, 422, 429))
@blueprint.response(202, schemas.MeSchema)
def update_me() -> Response:
    """Update the calling user

    A new password requires the current one, and revokes all tokens.
    """
    account = current_account()
    refuse_token(account)
    row = _USERS.update_self(account, load(schemas.SelfInput(partial=True), read_object()))
    return make_response(jsonify(_me(row, account.permissions)), 202)


@blueprint.get("/robots/@me")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.doc(**fails(404))
@blueprint.response(200, schemas.RobotMeSchema)
def get_my_robot() -> Response:
    """Get the calling robot or client with its permissions"""
    account = current_account()
    row = db.session.get(models.Robot, account.id)
    if row is None:
        raise NotFound("This account is not a robot.", hint="People are at /auth/users/@me.")
    shown: dict[str, Any] = schemas.RobotSchema(exclude=("realm",)).dump(row)
    return jsonify({**shown, "permissions": sorted(account.permissions)})


def _me(row: models.User, permissions: frozenset[str]) -> dict[str, Any]:
    shown: dict[str, Any] = schemas.MeSchema(exclude=("realm", "permissions")).dump(row)
    return {**shown, "permissions": sorted(permissions)}


def _add_views(resource: Resource) -> None:
    """Adds the views of one resource."""
    kind, listing, title = resource.kind, resource.listing, resource.title
    noun = f"{'an' if title[0] in 'aeio' else 'a'} {title}"

    @blueprint.needs(kind.may_read)
    @blueprint.doc(summary=f"List {title}s" if title != "audit entry" else "Read the audit log", parameters=QUERY)
    @blueprint.lists(listing)
    @blueprint.doc(**fails(400))
    @blueprint.response(200, list_of(resource.shown))
    def list_all() -> Response:
        page = read_page(db.session(), kind.query(current_account()), listing, request.args)
        return jsonify({"data": resource.dump(page.rows, page.added, many=True), "meta": page.meta()})

    @blueprint.needs(kind.may_read)
    @blueprint.doc(summary=f"Get {noun}", parameters=QUERY)
    @blueprint.doc(**fails(400, 404))
    @blueprint.response(200, resource.shown)
    def get_one(object_id: str) -> Response:
        row = kind.find(current_account(), object_id)
        return jsonify(resource.dump(row, read_added(listing, request.args)))

    _add_rule(resource, "list", "GET", "", list_all)
    _add_rule(resource, "get", "GET", "/<object_id>", get_one)
    if resource.taken is not None:
        _add_changes(resource, resource.taken, noun)


def _add_changes(resource: Resource, taken: type[ma.Schema], noun: str) -> None:
    kind = resource.kind

    @blueprint.needs(kind.may_create)
    @blueprint.doc(summary=f"Create {noun}", **takes(taken))
    @blueprint.doc(**fails(400, 409, 422))
    @blueprint.response(201, resource.shown)
    def create() -> Response:
        row = kind.create(current_account(), load(taken(), read_object()))
        return make_response(jsonify(resource.dump(row)), 201)

    @blueprint.needs(kind.may_update)
    @blueprint.doc(summary=f"Update the given fields of {noun}", **takes(taken))
    @blueprint.doc(**fails(400, 404, 409, 422))
    @blueprint.response(202, resource.shown)
    def update(object_id: str) -> Response:
        # An object that does not exist for the caller is 404 even if the body is invalid.
        kind.find(current_account(), object_id)
        row = kind.update(current_account(), object_id, load(taken(partial=True), read_object()))
        return make_response(jsonify(resource.dump(row)), 202)

    @blueprint.needs(kind.may_delete)
    @blueprint.doc(summary=f"Delete {noun}")
    @blueprint.doc(**fails(404, 409))
    @blueprint.response(202, resource.shown)
    def delete(object_id: str) -> Response:
        row = kind.find(current_account(), object_id)
        shown = resource.dump(row)
        kind.delete(current_account(), object_id)
        return make_response(jsonify(shown), 202)

    _add_rule(resource, "create", "POST", "", create)
    _add_rule(resource, "delete", "DELETE", "/<object_id>", delete)
    if resource.changes:
        _add_rule(resource, "update", "POST", "/<object_id>", update)


def _add_rule(resource: Resource, name: str, method: str, end: str, view: Any) -> None:
    endpoint = f"{name}_{resource.path.replace('-', '_')}"
    view.__name__ = endpoint
    blueprint.route(f"/{resource.path}{end}", methods=[method], endpoint=endpoint)(view)


for _resource in RESOURCES:
    _add_views(_resource)
