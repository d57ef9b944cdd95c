"""The OpenAPI document, made when it is first asked for.

To describe all endpoints takes a tenth of a second of processor time, and most processes are never asked.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from apispec import APISpec
from flask import Flask
from flask_smorest import Api, Blueprint

from assembler_runner.api.schemas.base import ErrorSchema

Description = Callable[[APISpec], None]


class DocumentedApi(Api):
    """An API that knows what to write into its document, and writes it when the document is first looked at.

    Args:
        app: the application.
    """

    ERROR_SCHEMA = ErrorSchema

    def __init__(self, app: Flask) -> None:
        self._undescribed: deque[Description] = deque()
        # Held again by what describes, which may look at the document.
        self._describing = threading.RLock()
        super().__init__(app)

    @property
    def spec(self) -> APISpec | None:
        """The document, complete; None before there is one."""
        with self._describing:
            while self._spec is not None and self._undescribed:
                self._undescribed.popleft()(self._spec)
            return self._spec

    @spec.setter
    def spec(self, made: APISpec | None) -> None:
        self._spec = made

    def describe(self, description: Description) -> None:
        """Adds to the document, after all that was added before.

        Args:
            description: writes into the document it is given; must not fail, for nobody could be told.
        """
        self._undescribed.append(description)

    def mount(self, blueprint: Blueprint) -> None:
        """Adds endpoints of the service itself; for those of strangers there is :meth:`register_blueprint`."""
        # As register_blueprint does it, but for what is put off.
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self.describe(partial(self._describe_endpoints, blueprint))

    def _describe_endpoints(self, blueprint: Blueprint, spec: APISpec) -> None:
        blueprint.register_views_in_doc(self, self._app, spec, name=blueprint.name, parameters=None)
        spec.tag({"name": blueprint.name, "description": blueprint.description})
