"""Faults, limits and races of the stand-in Hub, tested with the real client."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from assembler_runner.devhub import Fault, Limit, StandInHub
from tests.support import client_env

client_env.settle()

# isort: split
import httpx2  # noqa: E402
from huggingface_hub import (  # noqa: E402
    CommitInfo,
    CommitOperationAdd,
    HfApi,
)
from huggingface_hub.errors import (  # noqa: E402
    HfHubHTTPError,
)
from huggingface_hub.utils import _http  # noqa: E402
from huggingface_hub.utils._http import get_session  # noqa: E402

SPACE = "alice/app"
README = b"---\ntitle: App\nsdk: gradio\napp_file: app.py\n---\n"
CREATE, COMMIT = "POST /api/repos/create", f"POST /api/spaces/{SPACE}/commit/main"
# The client's own LFS upload uses an argument which its HTTP library deprecates.
large_upload = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as running:
        yield running
        assert running.bugs == []


@pytest.fixture
def api(hub: StandInHub) -> HfApi:
    return HfApi(endpoint=hub.url, token="hf_alice")


def create(api: HfApi, name: str = SPACE, sdk: str = "gradio", **options: Any) -> str:
    return api.create_repo(name, repo_type="space", space_sdk=sdk, **options).repo_id


def commit(api: HfApi, files: dict[str, bytes], name: str = SPACE, **options: Any) -> CommitInfo:
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    options = {"commit_message": "Publish", **options}
    made: CommitInfo = api.create_commit(name, operations, repo_type="space", **options)
    return made


def status_of(call: Any, *args: Any, **options: Any) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*args, **options)
    return caught.value.response.status_code


def test_a_lost_response_leaves_exactly_one_commit(hub: StandInHub, api: HfApi) -> None:
    create(api)
    hub.faults.add(Fault("drop_after", method="POST", path="/commit/"))
    with pytest.raises(httpx2.TransportError):
        commit(api, {"app.py": b"1"})
    (made,) = hub.commits(SPACE)
    assert api.space_info(SPACE).sha == made.oid
    assert (hub.requests[-2].status, hub.requests[-2].fault) == (None, "drop_after")


def test_a_lost_request_leaves_nothing(hub: StandInHub, api: HfApi) -> None:
    hub.faults.add(Fault("drop_before", path="/api/repos/create"))
    with pytest.raises(httpx2.TransportError):
        create(api)
    assert hub.spaces() == []
    create(api)


def test_faults_fire_as_often_as_declared(hub: StandInHub, api: HfApi) -> None:
    create(api)
    headers = {"Retry-After": "7"}
    hub.faults.add(
        Fault(path=f"/{SPACE}$", status=429, times=2, after=1, headers=headers),
        Fault(path="/runtime$", status=503, body="upstream", times=None),
        Fault(path="/variables$", status=500, method="POST", applied=True),
    )
    assert api.space_info(SPACE).id == SPACE
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as caught:
            api.space_info(SPACE)
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "7"
    assert api.space_info(SPACE).id == SPACE
    assert {status_of(api.get_space_runtime, SPACE) for _ in range(3)} == {503}
    assert status_of(api.add_space_variable, SPACE, "A", "1") == 500
    assert set(api.get_space_variables(SPACE)) == {"A"}
    assert [fault.fired for fault in hub.faults.all()] == [2, 3, 1]
    hub.faults.clear()
    assert api.get_space_runtime(SPACE).stage == "NO_APP_FILE"


def test_garbage_and_truncation(hub: StandInHub, api: HfApi) -> None:
    create(api)
    hub.faults.add(Fault("garbage", path="/whoami"), Fault("truncate", path=f"/{SPACE}$"))
    with pytest.raises(ValueError):
        api.whoami()
    with pytest.raises(httpx2.RemoteProtocolError):
        api.space_info(SPACE)
    assert api.space_info(SPACE).id == SPACE


def test_timeouts_before_and_after_the_work(hub: StandInHub, api: HfApi) -> None:
    create(api)
    url, headers = f"{hub.url}/api/spaces/{SPACE}/variables", {"authorization": "Bearer hf_alice"}
    hub.faults.add(Fault("hang", method="POST", seconds=60, applied=True), Fault("hang", seconds=0.05, path="who"))
    with pytest.raises(httpx2.ReadTimeout):
        get_session().post(url, headers=headers, json={"key": "A", "value": "1"}, timeout=0.1)
    assert set(api.get_space_variables(SPACE)) == {"A"}
    assert api.whoami()["name"] == "alice"


def test_rate_limit_and_quotas(hub: StandInHub, api: HfApi) -> None:
    hub.settings.create_quota = Limit(2, 3600)
    create(api)
    create(api, "alice/two")
    assert status_of(create, api, "alice/three") == 429
    hub.settings.commit_quota = Limit(1, 3600)
    commit(api, {"app.py": b"1"})
    with pytest.raises(HfHubHTTPError, match="hourly quotas for action: commit"):
        commit(api, {"app.py": b"2"})
    hub.settings.rate_limit = Limit(2, 0.5)
    answer = get_session().get(f"{hub.url}/api/whoami-v2", headers={"authorization": "Bearer hf_alice"})
    assert answer.headers["RateLimit"] == '"api";r=1;t=1'
    assert answer.headers["RateLimit-Policy"] == '"fixed window";"api";q=2;w=1'
    api.space_info(SPACE)
    assert status_of(api.space_info, SPACE) == 429
    assert HfApi(endpoint=hub.url, token="hf_bob").space_info(SPACE).id == SPACE


# --- concurrency


def test_many_clients_at_once(hub: StandInHub, api: HfApi) -> None:
    def publish(number: int) -> None:
        name = f"alice/app-{number}"
        create(api, name)
        for turn in range(3):
            commit(api, {"app.py": b"%d of %d" % (turn, number)}, name, commit_message=f"{turn} of {number}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(publish, range(32)))
    assert len(hub.spaces()) == 32
    for number in range(32):
        titles = [item.title for item in hub.commits(f"alice/app-{number}")]
        assert titles == [f"{turn} of {number}" for turn in range(3)]
        assert hub.tree(f"alice/app-{number}")["app.py"] == b"2 of %d" % number


def test_one_of_many_stale_writers_wins(hub: StandInHub, api: HfApi) -> None:
    create(api)
    seen = api.space_info(SPACE).sha

    def write(number: int) -> int:
        try:
            commit(api, {"app.py": b"%d" % number}, parent_commit=seen)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(write, range(16))) == [200] + [412] * 15
    assert len(hub.commits(SPACE)) == 1


@pytest.fixture
def client_of_the_library() -> Iterator[None]:
    """The library's own HTTP client, where the service has set another that stops the spinning."""
    set_before = _http._GLOBAL_CLIENT_FACTORY
    _http.set_client_factory(_http.default_client_factory)
    yield
    _http.set_client_factory(set_before)


@pytest.mark.usefixtures("client_of_the_library")
def test_overlapping_creations_make_the_client_spin(hub: StandInHub, api: HfApi) -> None:
    hub.settings.one_creation_at_a_time = True
    hub.settings.create_seconds = 0.05
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda name: create(api, name), ["alice/a", "alice/b"])) == [
            "alice/a",
            "alice/b",
        ]
    assert 409 in {record.status for record in hub.requests}
    assert sorted(hub.spaces()) == ["alice/a", "alice/b"]
