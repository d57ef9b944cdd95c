"""Markdown of this service as a part of a page."""

from __future__ import annotations

from markupsafe import Markup


def as_html(text: str) -> Markup:
    """Returns Markdown as HTML; HTML inside it is shown as text."""
    # Imported here: only the page of the documentation needs it.
    from markdown_it import MarkdownIt

    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))  # noqa: S704 - escaped above
