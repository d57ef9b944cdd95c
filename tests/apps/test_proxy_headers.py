"""Apps neither see nor set the cookies of the web pages, which a browser sends to every port of a host."""

from __future__ import annotations

import pytest

from assembler_runner.apps.proxy_headers import for_visitor, without_cookies
from assembler_runner.core.cookies import OWN


@pytest.mark.parametrize("name", sorted(OWN))
def test_an_app_does_not_see_cookies_of_the_pages(name: str) -> None:
    assert without_cookies(f"a=1; {name}=secret; b=2", {"assembler-app", *OWN}) == "a=1; b=2"
    assert without_cookies(f"{name}=secret", {"assembler-app", *OWN}) == ""


@pytest.mark.parametrize("name", sorted(OWN))
def test_an_app_sets_no_cookies_of_the_pages(name: str) -> None:
    assert list(for_visitor({"Set-Cookie": f"{name}=forged; Path=/"}, "assembler-app")) == []
    assert list(for_visitor({"Set-Cookie": "own=1; Path=/"}, "assembler-app")) == [("Set-Cookie", "own=1; Path=/")]
