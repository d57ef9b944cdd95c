"""Cards of local Spaces are parsed once."""

from __future__ import annotations

import os

import pytest
from flask.testing import FlaskClient

from assembler_runner.assembly.card import GivenCard, read_card
from assembler_runner.targets.local.target import LocalTarget
from assembler_runner.ui import local
from tests.ui.test_local_pages import app, client, get, publish, target

__all__ = ["app", "client", "target"]  # fixtures


def test_a_card_is_parsed_once_for_all_visitors(
    target: LocalTarget, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(target, "site", {"README.md": b"---\napp_file: index.html\n---\n# Once " + os.urandom(8).hex().encode()})
    parsed: list[bytes] = []

    def read(readme: bytes) -> GivenCard:
        parsed.append(readme)
        return read_card(readme)

    monkeypatch.setattr(local, "read_card", read)
    pages = [get(client, path) for path in ("/local/org/site", "/local/org/site", "/local/org/site/live/")]
    assert len(parsed) == 1
    assert "# Once" in pages[0].text
    assert "app_file:" not in pages[0].text
