"""The addresses of apps that this service runs."""

from __future__ import annotations

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
    if space.target != LOCAL or space.namespace is None or not space.created_on_target or not space.alive:
        return None
    if space.latest_request is not None and space.latest_request.sdk == STATIC:
        return absolute_url(f"/local/{space.namespace}/{space.name}/live/")
    label = _labels().get(place_of(space.namespace, space.name))
    return None if label is None else Addresses(current_services().settings).url(label)


def _labels() -> dict[str, str]:
    """Returns the first label of the host name of each app, by the place of its Space; read once for each call."""
    apps = current_services().targets.local.apps
    if apps is None:
        return {}
    if "app_labels" not in g:
        g.app_labels = apps.labels()
    labels: dict[str, str] = g.app_labels
    return labels
