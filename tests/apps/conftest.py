"""A service that runs apps, one for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.app_service import AppService, app_service


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppService]:
    with app_service(tmp_path_factory.mktemp("apps") / "instance") as running:
        yield running
