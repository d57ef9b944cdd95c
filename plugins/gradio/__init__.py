"""Space type `gradio`: a Python app built with Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    Finding,
    SpacePlugin,
    Template,
    Tree,
    app_file_missing,
    app_file_option,
    on_card,
    python_version_option,
)


class TextParameters(ma.Schema):
    """Parameters of the template `text`."""

    title = ma.fields.String(load_default="Word counter", metadata={"description": "Headline of the app."})
    description = ma.fields.String(load_default="Counts words.", metadata={"description": "Line below it."})
    label = ma.fields.String(load_default="Text", metadata={"description": "Label of the input."})


class ImageParameters(ma.Schema):
    """Parameters of the template `image`."""

    title = ma.fields.String(load_default="Image rotator", metadata={"description": "Headline of the app."})
    angle = ma.fields.Integer(
        strict=True,
        load_default=90,
        validate=ma.validate.Range(-360, 360),
        metadata={"description": "Rotation of the image in degrees."},
    )
    grey = ma.fields.Boolean(load_default=True, metadata={"description": "Whether to convert the image to grayscale."})


class ChatParameters(ma.Schema):
    """Parameters of the template `chat`."""

    title = ma.fields.String(load_default="Chat", metadata={"description": "Headline of the app."})
    answers = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        load_default=lambda: {"hello": "Hello! How can I help?"},
        metadata={"description": "Keyword in a message → reply."},
    )
    fallback = ma.fields.String(load_default="Tell me more.", metadata={"description": "Reply to all other messages."})


class GradioPlugin(SpacePlugin):
    """A Gradio app; the Hub installs Gradio and runs the app file."""

    space_type = "gradio"
    version = "1.0.0"
    sdk = "gradio"
    description = "Interactive Python app built with Gradio; needs an app.py."
    tags = ("python", "app", "demo")

    class Options(CommonOptions):
        """Options of a Gradio Space."""

        app_file = app_file_option("app.py")
        python_version = python_version_option()
        sdk_version = ma.fields.String(
            load_default="6.31.0",
            validate=ma.validate.Regexp(r"^[0-9]+\.[0-9]+(\.[0-9]+)?((a|b|rc)[0-9]+)?(?!\n)$"),
            metadata=on_card("sdk_version", "Gradio version the Hub installs."),
        )

    def templates(self) -> list[Template]:
        """Returns starter apps for text, images and chat."""
        return [
            self.template("text", "Text in, text out.", TextParameters),
            self.template("image", "Image in, image out.", ImageParameters),
            self.template("chat", "A chat with replies by keyword.", ChatParameters),
        ]

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Finds a missing app file."""
        return app_file_missing(tree, options["app_file"], self.space_type)
