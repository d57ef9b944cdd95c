"""Space type `docker`: any app in a container."""

from __future__ import annotations

from dataclasses import replace

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    SpacePlugin,
    Template,
    app_file_option,
    on_card,
    python_dockerfile,
    python_version_option,
)

PORT = 7860


class FlaskParameters(ma.Schema):
    """Parameters of the template `flask`."""

    greeting = ma.fields.String(load_default="Hello from Flask", metadata={"description": "Text of the page."})


class FastApiParameters(ma.Schema):
    """Parameters of the template `fastapi`."""

    title = ma.fields.String(load_default="My API", metadata={"description": "Name of the API."})
    greeting = ma.fields.String(load_default="Hello from FastAPI", metadata={"description": "Message of the API."})


class NodeParameters(ma.Schema):
    """Parameters of the template `node`."""

    greeting = ma.fields.String(load_default="Hello from Node.js", metadata={"description": "Text of the page."})


class DockerPlugin(SpacePlugin):
    """An app in a container; without a Dockerfile a Python app is assumed."""

    space_type = "docker"
    version = "1.0.0"
    sdk = "docker"
    description = (
        "Any app in a container; without a Dockerfile, app.py is run with Python and must listen on port 7860."
    )
    tags = ("container", "python", "app")
    container = "any"

    class Options(CommonOptions):
        """Options of a Docker Space."""

        app_port = ma.fields.Integer(
            strict=True,
            load_default=PORT,
            validate=ma.validate.Range(1, 65535),
            metadata=on_card("app_port", "Port the app listens on."),
        )
        app_file = app_file_option("app.py", card=False)
        python_version = python_version_option(card=False)

    def templates(self) -> list[Template]:
        """Returns web apps with Flask, FastAPI and Node.js."""
        gunicorn = ["gunicorn", "--bind", f"0.0.0.0:{PORT}", "--workers", "2", "app:app"]
        uvicorn = ["uvicorn", "--host", "0.0.0.0", "--port", str(PORT), "app:app"]
        return [
            self._served("flask", "A web app, served by gunicorn.", FlaskParameters, gunicorn),
            self._served("fastapi", "A web API, served by uvicorn.", FastApiParameters, uvicorn, "FastAPI"),
            self.template("node", "A web server with Node.js, without packages.", NodeParameters, "Node.js"),
        ]

    def _served(
        self, name: str, description: str, parameters: type[ma.Schema], command: list[str], title: str = ""
    ) -> Template:
        template = self.template(name, description, parameters, title)
        return replace(template, files=(*template.files, python_dockerfile("3.12", PORT, command)))
