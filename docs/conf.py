"""Configuration of Sphinx; `invoke doc` builds the pages into docs/_build/html."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "client")]

import click  # noqa: E402

from assembler_client.cli import cli  # noqa: E402
from assembler_runner import __version__  # noqa: E402
from assembler_runner.app import create_app  # noqa: E402
from assembler_runner.core.settings import load  # noqa: E402
from assembler_runner.ui.assets import content  # noqa: E402

project = "Assembler"
release = version = __version__
project_copyright = "the authors of Assembler"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
nitpicky = False
# Samples abbreviate with …, which is not valid JSON; types such as `type` are also names of attributes; docstrings of
# libraries refer to their own pages. Links of our own pages are checked.
suppress_warnings = ["misc.highlighting_failure", "ref.python", "ref.ref"]
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_use_type_comments = False

html_theme = "furo"
html_title = f"Assembler {version}"
html_copy_source = False
html_extra_path = ["_build/extra"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Assembler: REST API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>body {{ margin: 0 }}</style></head>
<body><div id="redoc"></div><script src="redoc.standalone.js"></script>
<script>Redoc.init({spec}, {{nativeScrollbars: true}}, document.getElementById("redoc"))</script></body></html>
"""


def write_rest_api(folder: Path) -> None:
    """Writes the OpenAPI document of the service, and a page that shows it without a server.

    Args:
        folder: the output folder; created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with tempfile.TemporaryDirectory() as instance:
        keys = dict.fromkeys(("SECRET_KEY", "JWT_SECRET_KEY"), "not a secret: only used to generate the document")
        app = create_app(load({}, **keys), Path(instance))
        document = app.test_client().get("/api-spec.json").get_json()
    (folder / "api-spec.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    (folder / "redoc.standalone.js").write_bytes(content("redoc/redoc.standalone.js"))
    (folder / "index.html").write_text(_PAGE.format(spec=json.dumps(document).replace("</", "<\\/")), encoding="utf-8")


for _name in cli.list_commands(click.Context(cli)):
    # So that the page of the commands shows the examples of their help, too.
    cli.get_command(click.Context(cli), _name)
write_rest_api(DOCS / "_build" / "extra" / "openapi")
