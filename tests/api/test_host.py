"""The Host that a caller sends does not become an address that others follow."""

from __future__ import annotations

import pytest

from tests.conftest import MakeService

EVIL = {"Host": "evil.example"}


def test_addresses_are_those_of_the_setting(make_service: MakeService) -> None:
    service = make_service(SERVER_NAME="assembler.example:8080")
    space = service.publish(name="site")
    seen = service.get(f"/spaces/{space['space_id']}", headers=EVIL)
    assert seen.json["url"] == "http://assembler.example:8080/local/admin/site"
    for path in ("/local/admin/site", "/docs", "/", "/requests/" + space["id"]):
        answer = service.get(path, headers=EVIL)
        assert answer.status_code == 200
        assert "evil.example" not in answer.get_data(as_text=True) + str(answer.headers)
    assert "git clone http://assembler.example:8080/local/admin/site" in service.client.get("/local/admin/site").text


@pytest.mark.parametrize("path", ["/local/admin/site/live", "/local/admin/site/live?x=1", "/local/admin/site/live/sub"])
def test_redirects_are_relative(make_service: MakeService, path: str) -> None:
    service = make_service()
    service.publish(name="site", files={"index.html": "x", "sub/index.html": "y"})
    answer = service.client.get(path, headers=EVIL)
    assert answer.status_code in (302, 308)
    assert answer.headers["Location"].startswith("/local/admin/site/live/")
    assert "evil.example" not in answer.get_data(as_text=True) + str(answer.headers)
