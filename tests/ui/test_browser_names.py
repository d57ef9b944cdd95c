"""Names of browsers in the list of sessions."""

from __future__ import annotations

import pytest

from assembler_runner.ui.browser_names import browser_name

_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
_SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (_CHROME, "Chrome, Linux"),
        (_CHROME.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64") + " Edg/140.0", "Edge, Windows"),
        (_CHROME.replace("X11; Linux x86_64", "Linux; Android 15"), "Chrome, Android"),
        (_SAFARI, "Safari, iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 15.0; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, macOS"),
        ("curl/8.9.1", "curl/8.9.1"),
        ("x" * 300, "x" * 40),
        ("", ""),
        (None, ""),
    ],
)
def test_people_recognise_it(said: str | None, name: str) -> None:
    assert browser_name(said) == name
