"""The OpenAPI document, generated on first access.

Describing all endpoints takes 0.1 seconds of CPU time, and most processes never serve the document.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from apispec import APISpec
from flask import Flask, Response
from flask_smorest import Api, Blueprint

from assembler_runner.api.schemas.base import ErrorSchema

Description = Callable[[APISpec], None]


class DocumentedApi(Api):
    """An API that collects descriptions and generates its document on first access.

    Args:
        app: the application.
    """

    ERROR_SCHEMA = ErrorSchema

    def __init__(self, app: Flask) -> None:
        self._undescribed: deque[Description] = deque()
        # Reentrant, because a description may access the document; it then gets it as it is so far.
        self._lock = threading.RLock()
        self._describing = True
        super().__init__(app)
        self._describing = False

    @property
    def spec(self) -> APISpec | None:
        """The complete document; None before the API is initialized."""
        with self._lock:
            if self._spec is not None and not self._describing:
                self._describe_all(self._spec)
            return self._spec

    @spec.setter
    def spec(self, made: APISpec | None) -> None:
        self._spec = made

    def _describe_all(self, spec: APISpec) -> None:
        self._describing = True
        try:
            while self._undescribed:
                self._undescribed.popleft()(spec)
        finally:
            self._describing = False

    def _register_responses(self) -> None:
        # The library calls this at the start, once for each of 60 statuses.
        register = super()._register_responses
        self.describe(lambda spec: register())

    def describe(self, description: Description) -> None:
        """Adds a description, to be applied after all earlier ones.

        Args:
            description: a function that adds to the document; it must not raise, because no caller could handle it.
        """
        self._undescribed.append(description)

    def mount(self, blueprint: Blueprint) -> None:
        """Adds endpoints of this service; for those of other packages use :meth:`register_blueprint`."""
        # Like register_blueprint, but with a deferred description.
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self.describe(partial(self._describe_endpoints, blueprint))

    def _openapi_json(self) -> Response:
        # UTF-8: parsers of YAML, which generators use for JSON, too, refuse escaped surrogates.
        assert self.spec is not None
        text = json.dumps(self.spec.to_dict(), indent=2, ensure_ascii=False)
        return Response(text, mimetype="application/json")

    def _describe_endpoints(self, blueprint: Blueprint, spec: APISpec) -> None:
        blueprint.register_views_in_doc(self, self._app, spec, name=blueprint.name, parameters=None)
        spec.tag({"name": blueprint.name, "description": blueprint.description})
