"""Signing in at an issuer with a real browser; service and issuer are different sites for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from assembler_runner.core.cookies import SESSION
from tests.support.issuer import CLIENT, SECRET, Issuer, issuer
from tests.support.services import PASSWORD, Process
from tests.ui.browsing import PHONE, Visitor
from tests.ui.conftest import READY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def platform() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, platform: Issuer) -> Iterator[str]:
    """Address of a service at `localhost`; the issuer is at 127.0.0.1, which is another site."""
    folder = tmp_path_factory.mktemp("instance")
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(folder))
    settings = {"ADMIN_PASSWORD": PASSWORD, "OIDC_ISSUER": platform.url, "OIDC_CLIENT_ID": CLIENT}
    settings |= {"OIDC_CLIENT_SECRET": SECRET, "OIDC_DEFAULT_ROLE": "member"}
    with Process(*command, **settings, OIDC_ALLOWED_NETWORKS="127.0.0.0/8") as process:
        port = urlsplit(process.wait_for_line(READY)[1]).port
        yield f"http://localhost:{port}"


def test_a_person_signs_in_at_another_site(browser: Browser, url: str, platform: Issuer, tmp_path: Path) -> None:
    person = Visitor(browser, url)
    page = person.open("/ui/new")
    person.press(page.get_by_role("link", name="Sign in with Single sign-on"))
    # Without a further click: the page after the issuer goes on by itself, and is signed in.
    page.wait_for_url("**/ui/new")
    expect(page.get_by_role("link", name="ann", exact=True)).to_be_visible()
    (cookie,) = person.context.cookies()
    assert (cookie["name"], cookie["sameSite"], cookie["httpOnly"]) == (SESSION, "Strict", True)
    person.open("/ui/account")
    expect(page.get_by_text("Signs in with")).to_be_visible()
    expect(page.get_by_text("Current password")).to_have_count(0)
    # The only requests to another site are those to the issuer's own page.
    assert {urlsplit(each.removeprefix("a request to ")).path for each in person.complaints} <= {"/authorization"}
    person.close()


def test_a_refusal_is_shown_on_the_sign_in(browser: Browser, url: str, platform: Issuer) -> None:
    person = Visitor(browser, url, viewport=PHONE, locale="de-DE", color_scheme="dark")
    platform.behaviour.error = {"error": "access_denied", "error_description": "The person said no."}
    page = person.open("/ui/login")
    page.get_by_role("link", name="Anmelden mit Single sign-on").click()
    expect(page.get_by_role("alert")).to_contain_text("access_denied: The person said no.")
    person.assert_fits()
    # The sign-in with a password works from there.
    platform.behaviour.error = None
    page.get_by_label("Name", exact=True).fill("admin")
    page.get_by_label("Passwort", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Anmelden", exact=True).click()
    page.wait_for_url("**/ui/spaces")
    person.close()
