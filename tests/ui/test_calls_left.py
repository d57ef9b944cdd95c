"""How many calls the Hub still grants, as the queue page shows it."""

from __future__ import annotations

from assembler_runner.devhub import StandInHub
from assembler_runner.devhub.limits import Limit
from tests.conftest import MakeService
from tests.ui.people import Person, text_of


def test_the_queue_shows_what_the_hub_has_granted(make_service: MakeService, hub: StandInHub) -> None:
    hub.settings.rate_limit = Limit(5000)
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0)
    service.publish(name="site")
    realm_id = service.get("/auth/users/@me").json["realm_id"]
    with service.app.app_context():
        left = service.services.targets.calls_left(realm_id)
    assert left is not None and left > 0
    assert f"Calls left at the Hub {left:,}" in text_of(Person(service).open("/ui/queue").text)


def test_nothing_is_shown_where_nothing_is_known(make_service: MakeService) -> None:
    assert "Calls left" not in text_of(Person(make_service()).open("/ui/queue").text)
