"""The identity token of the pipeline that a command runs in."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import click
import httpx

VARIABLE = "ASSEMBLER_ID_TOKEN"
"""Variable with the token, where the platform puts it into one, such as `id_tokens` of GitLab."""
_SECONDS = 30.0


def pipeline_token(service: str, audience: str | None) -> str:
    """Returns the identity token of this pipeline.

    On GitHub it is requested from the runner (docs.github.com, "OpenID Connect reference"); elsewhere it is in
    ASSEMBLER_ID_TOKEN.

    Args:
        service: URL of the service, by default the audience of the token.
        audience: for whom the token is requested; only on GitHub.
    Raises:
        click.ClickException: there is none.
    """
    if token := os.environ.get(VARIABLE, "").strip():
        return token
    url, secret = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"), os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not secret:
        raise click.ClickException(
            "There is no identity token. GitHub: give the job the permission id-token: write. "
            f"GitLab: name {VARIABLE} below id_tokens. Elsewhere: set {VARIABLE}."
        )
    parts = urlsplit(service)
    try:
        answer = httpx.get(
            url,
            params={**httpx.URL(url).params, "audience": audience or f"{parts.scheme}://{parts.netloc}"},
            headers={"Authorization": f"Bearer {secret}"},
            timeout=_SECONDS,
        )
        answer.raise_for_status()
        return str(answer.json()["value"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as problem:
        raise click.ClickException(f"The runner gave no identity token ({type(problem).__name__}).") from None
