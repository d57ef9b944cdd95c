"""Space type `streamlit`: a Python app built with Streamlit, run in a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    SpacePlugin,
    Template,
    app_file_option,
    from_card,
    python_version_option,
)

PORT = 7860


class DashboardParameters(ma.Schema):
    """Parameters of the template `dashboard`."""

    title = ma.fields.String(load_default="Dashboard", metadata={"description": "Headline of the app."})
    unit = ma.fields.String(load_default="", metadata={"description": "Unit of the figures."})
    rows = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Float(),
        load_default=lambda: {"first": 3.0, "second": 5.0, "third": 4.0},
        metadata={"description": "Name → figure."},
    )


class StreamlitPlugin(SpacePlugin):
    """A Streamlit app, published as a Docker Space: the Hub removed its Streamlit SDK (changelog, 2025-04-30)."""

    space_type = "streamlit"
    version = "1.0.0"
    sdk = "docker"
    description = "Interactive Python app built with Streamlit; needs an app.py. Published as a Docker Space."
    tags = ("python", "app", "dashboard")
    container = "streamlit"

    class Options(CommonOptions):
        """Options of a Streamlit Space."""

        app_file = app_file_option("app.py", card=False)
        python_version = python_version_option(card=False)
        sdk_version = ma.fields.String(
            validate=ma.validate.Regexp(r"^[0-9]+(\.[0-9A-Za-z]+)*(?!\n)$"),
            metadata=from_card("sdk_version", "Streamlit version, if requirements.txt does not name one."),
        )

    def card(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the common card with the port."""
        return {**super().card(options), "app_port": PORT}

    def templates(self) -> list[Template]:
        """Returns a dashboard."""
        return [self.template("dashboard", "A number, a chart and a table of your figures.", DashboardParameters)]
