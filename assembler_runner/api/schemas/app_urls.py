"""The addresses of apps that this service runs."""

from __future__ import annotations

from collections.abc import Iterable

from flask import g

from assembler_runner.apps.addresses import Addresses
from assembler_runner.core.addresses import absolute_url
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space
from assembler_runner.targets.local.apps_table import place_of
from assembler_runner.targets.realm_targets import LOCAL

STATIC = "static"


def app_url(space: Space) -> str | None:
    """Returns the address of a Space's app; None if this service does not run it.

    Args:
        space: the Space.
    """
    if not _may_run_here(space):
        return None
    if space.latest_request is not None and space.latest_request.sdk == STATIC:
        return absolute_url(f"/local/{space.namespace}/{space.name}/live/")
    if space.id not in g.get("app_labels", {}):
        load_app_urls((space,))
    label = g.app_labels[space.id]
    return None if label is None else Addresses(current_services().settings).url(label)


def load_app_urls(spaces: Iterable[Space]) -> None:
    """Reads what the addresses of several Spaces are made of at once, for the rest of this call."""
    places = {space.id: place_of(str(space.namespace), space.name) for space in spaces if _may_run_here(space)}
    apps = current_services().targets.local.apps
    labels = apps.labels(set(places.values())) if apps is not None and places else {}
    g.app_labels = g.get("app_labels", {}) | {space_id: labels.get(place) for space_id, place in places.items()}


def _may_run_here(space: Space) -> bool:
    return space.target == LOCAL and space.namespace is not None and space.created_on_target and space.alive
