"""The proxy's own pages, for apps that do not answer."""

from __future__ import annotations

from aiohttp import web

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
_RELOAD_SECONDS = 3
_TEXTS = {
    "PAUSED": "This app is paused.",
    "BUILD_ERROR": "The requirements of this app could not be installed.",
    "RUNTIME_ERROR": "This app has failed.",
    "STORED": "This app is not run here.",
    "DELETED": "There is no such app.",
}


def page(status: int, text: str, *, reloads: bool = False) -> web.Response:
    """Returns a page with one sentence.

    Args:
        status: status of the response.
        text: the sentence.
        reloads: whether the page reloads by itself.
    """
    reload = f'<meta http-equiv="refresh" content="{_RELOAD_SECONDS}">' if reloads else ""
    html = f"<!doctype html><html lang=en><meta charset=utf-8>{reload}<title>{text}</title><p>{text}</p></html>\n"
    headers = {**_HEADERS, **({"Retry-After": str(_RELOAD_SECONDS)} if reloads else {})}
    return web.Response(status=status, text=html, content_type="text/html", headers=headers)


def stage_page(stage: str) -> web.Response:
    """Returns the page of an app that does not run.

    Args:
        stage: its stage, in the Hub's words.
    """
    if stage in _TEXTS:
        return page(503, _TEXTS[stage])
    return page(503, "This app is starting; the page reloads by itself.", reloads=True)
