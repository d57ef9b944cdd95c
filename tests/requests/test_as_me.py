"""A Space is published as a person who has signed in at the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.accounts import hub_tokens
from assembler_runner.accounts.models import LoginSession, PersonHubToken, User
from assembler_runner.accounts.single_sign_on import Granted, SignInFailed
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.vault import Vault
from assembler_runner.devhub import StandInHub
from assembler_runner.ops import key_rotation
from assembler_runner.runtime import probe, watches
from assembler_runner.spaces.models import SpaceRequest
from tests.conftest import MakeService, Service
from tests.support.issuer import Issuer, issuer
from tests.support.people import Person, login, made, make_user
from tests.support.signing_in import HTML, settings_of, sign_in
from tests.ui.people import OWN, text_of

SCOPES = "openid profile contribute-repos"
BODY = {"space_type": "static", "files": {"index.html": "<p>Hello</p>"}, "target": "huggingface"}


@pytest.fixture
def platform(hub: StandInHub) -> Iterator[Issuer]:
    """The stand-in Hub, at which people sign in as well; ann's account there is bob."""
    with issuer() as found:
        found.behaviour.hub_url = hub.url
        found.behaviour.granted = {"access_token": "hf_bob", "scope": SCOPES, "expires_in": 3600}
        yield found


@pytest.fixture
def service(make_service: MakeService, platform: Issuer) -> Service:
    more = {"HF_TOKEN": "hf_alice", "HF_ENDPOINT": platform.url, "OIDC_SCOPES": SCOPES, "HUB_TIMEOUT": 30.0}
    return make_service(**settings_of(platform, **more))


class Ann:
    """A person who has signed in at the Hub, with a browser and a token for programs."""

    def __init__(self, service: Service) -> None:
        self.service, self.browser = service, service.app.test_client()
        assert sign_in(self.browser).status_code == 200
        own = {"Sec-Fetch-Site": "same-origin"}
        body = {"name": "x", "scopes": ["space_create", "space_read", "space_update", "space_delete"]}
        token = made(self.browser.post("/auth/tokens", json=body, headers=own))["token"]
        self.program = Person(service, "", {"access_token": token})

    def submit(self, **more: Any) -> dict[str, Any]:
        return made(self.program.post("/spaces", {**BODY, "as": "me", **more}), 202)

    def page(self, path: str) -> str:
        return text_of(self.browser.get(path, headers=HTML).text)


@pytest.fixture
def ann(service: Service) -> Ann:
    return Ann(service)


def rows(service: Service) -> list[PersonHubToken]:
    with service.app.app_context():
        found = list(db.session.scalars(sa.select(PersonHubToken)))
        db.session.expunge_all()
        return found


def expire(service: Service) -> None:
    with service.app.app_context():
        db.session.execute(sa.update(PersonHubToken).values(expires_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()


def issues(answer: Any, status: int = 422) -> list[tuple[str, str]]:
    assert answer.status_code == status, answer.json
    return [(issue["path"], issue["code"]) for issue in answer.json["issues"]]


def test_a_space_is_published_and_changed_as_the_person(service: Service, hub: StandInHub, ann: Ann) -> None:
    space = ann.submit(name="mine")
    assert (space["namespace"], space["visibility"]) == ("bob", "public") and space["publisher_id"] is not None
    assert space["url"].endswith("/spaces/bob/mine")
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    assert hub.space("bob/mine").creator == "bob"
    # Later changes keep it, and another person may delete the Space.
    changed = ann.program.post(f"/spaces/{space['id']}", {"files": {"index.html": "<p>Again</p>"}, "as": "me"})
    assert service.work(made(changed, 202)["latest_request"]["id"])["status"] == "succeeded"
    assert service.remove(space["id"])["status"] == "succeeded"


def test_without_it_the_token_of_the_service_is_used(service: Service, hub: StandInHub, ann: Ann) -> None:
    space = made(ann.program.post("/spaces", {**BODY, "name": "ours"}), 202)
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    space = service.space(space["id"])
    assert (space["namespace"], space["publisher_id"]) == ("alice", None)
    refused = ann.program.post(f"/spaces/{space['id']}", {"labels": ["x"], "as": "me"})
    assert issues(refused) == [("as", "as_not_possible")]


def test_the_token_is_sealed_and_never_shown(service: Service, ann: Ann) -> None:
    (row,) = rows(service)
    assert "hf_bob" not in row.encrypted_token and row.account_name == "bob" and not row.renewable
    page = ann.page("/ui/account")
    assert "create Spaces as bob on the Hub" in page and "hf_bob" not in page
    for path in ("/auth/users/@me", "/auth/users"):
        assert "hf_bob" not in service.get(path).text


def test_others_do_not_publish_in_the_name_of_the_person(service: Service, ann: Ann) -> None:
    space = ann.submit(name="mine")
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    bob = make_user(service, "ben")
    path = f"/spaces/{space['id']}"
    change = {"files": {"index.html": "<p>Not mine</p>"}}
    for answer in (
        bob.post(path, change),
        bob.post(path, {"visibility": "private"}),
        bob.post(f"{path}/command", {"command": "move", "name": "other"}),
        bob.post(f"{path}/command", {"command": "rollback", "request_id": space["latest_request"]["id"]}),
        service.post(path, change),
    ):
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    copy = made(bob.post(f"{path}/command", {"command": "duplicate", "name": "copy"}), 202)
    assert service.get(f"/spaces/{copy['space_id']}").json["publisher_id"] is None
    own = made(ann.program.post(f"{path}/command", {"command": "duplicate", "name": "own"}), 202)
    assert service.get(f"/spaces/{own['space_id']}").json["publisher_id"] == space["publisher_id"]
    assert bob.delete(path).status_code == 202


def test_who_cannot(service: Service, ann: Ann, make_service: MakeService, hub: StandInHub) -> None:
    me = {**BODY, "as": "me"}
    assert issues(ann.program.post("/spaces", {**me, "target": "local"})) == [("as", "as_not_possible")]
    assert issues(service.post("/spaces", me)) == [("as", "sign_in_again")]
    assert issues(service.post("/spaces/preview", me)) == [("as", "sign_in_again")]
    robot = made(service.post("/auth/robots", {"name": "bot", "roles": ["member"]}))
    token = made(login(service, grant_type="robot_credentials", id=robot["id"], secret=robot["secret"]), 200)
    assert issues(Person(service, robot["id"], token).post("/spaces", me)) == [("as", "as_not_possible")]
    assert issues(ann.program.post("/spaces", {**BODY, "as": "alice"})) == [("as", "invalid_field")]
    other = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url)
    assert issues(other.post("/spaces", me)) == [("as", "as_not_possible")]


def test_a_scope_that_was_not_granted(service: Service, platform: Issuer) -> None:
    platform.behaviour.granted["scope"] = "openid profile"
    assert sign_in(service.app.test_client()).status_code == 200
    assert rows(service) == []


def test_a_hub_that_does_not_answer_at_the_sign_in(service: Service, platform: Issuer) -> None:
    platform.behaviour.granted["access_token"] = "hf_unknown"
    assert sign_in(service.app.test_client()).status_code == 200
    assert rows(service) == []


def test_it_is_renewed(service: Service, platform: Issuer, hub: StandInHub) -> None:
    platform.behaviour.granted["refresh_token"] = "first"
    ann = Ann(service)
    space = ann.submit(name="mine")
    platform.behaviour.renewed = {"refresh_token": "second"}
    expire(service)
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    (row,) = rows(service)
    assert row.renewable and row.expires_at > utcnow() + timedelta(minutes=30)
    # It is not renewed again before it expires.
    assert platform.asked.count("/token") == 2
    expire(service)
    change = ann.program.post(f"/spaces/{space['id']}", {"files": {"index.html": "<p>2</p>"}})
    assert service.work(made(change, 202)["latest_request"]["id"])["status"] == "succeeded"


def test_an_expired_token_ends_the_work_clearly(service: Service, ann: Ann, hub: StandInHub) -> None:
    space = ann.submit(name="mine")
    waiting = ann.submit(name="later")
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    expire(service)
    done = service.work(waiting["latest_request"]["id"])
    assert (done["status"], done["error"]["code"], done["attempts"]) == ("failed", "sign_in_again", 1)
    assert "Hugging Face again" in done["error"]["hint"]
    assert issues(ann.program.post("/spaces", {**BODY, "as": "me"})) == [("as", "sign_in_again")]
    change = ann.program.post(f"/spaces/{space['id']}", {"files": {"index.html": "<p>2</p>"}})
    assert issues(change) == [("as", "sign_in_again")]
    assert "has expired" in ann.page("/ui/account")
    # Everybody may read the state of a public Space.
    with service.app.app_context():
        owner = watches.claim(space["id"], 60)
        assert owner is not None
        assert probe.look(service.services, space["id"], owner).problem is None


def test_a_refresh_token_that_is_not_accepted(
    service: Service, platform: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.behaviour.granted["refresh_token"] = "first"
    space = Ann(service).submit(name="mine", visibility="private")
    platform.behaviour.granted["refresh_token"] = "another"
    monkeypatch.setattr(hub_tokens, "_READ_SECONDS", 0.0)
    expire(service)
    done = service.work(space["latest_request"]["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "sign_in_again")
    assert rows(service) == []


def test_another_process_renews_it_at_the_same_time(
    service: Service, platform: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.behaviour.granted["refresh_token"] = "first"
    ann = Ann(service)
    space = ann.submit(name="mine")
    expire(service)

    def lose(refresh_token: str) -> Granted:
        # The other process was faster, and its token is stored.
        later = utcnow() + timedelta(hours=1)
        with service.app.app_context():
            row = db.session.scalars(sa.select(PersonHubToken)).one()
            hub_tokens._seal(service.services.vault, row, Granted("hf_bob", "second", later, frozenset()))
            db.session.commit()
        raise SignInFailed

    monkeypatch.setattr(hub_tokens, "renewed", lose)
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"


def test_a_retry_works_after_the_next_sign_in(service: Service, ann: Ann) -> None:
    space = ann.submit(name="mine")
    expire(service)
    failed = service.work(space["latest_request"]["id"])
    assert failed["status"] == "failed"
    sign_in(service.app.test_client())
    made(ann.program.post(f"/requests/{failed['id']}/command", {"command": "retry"}), 202)
    assert service.work(failed["id"])["status"] == "succeeded"


def test_it_ends_with_the_last_session(service: Service, ann: Ann) -> None:
    other = service.app.test_client()
    sign_in(other)
    own = {"Sec-Fetch-Site": "same-origin"}
    other.post("/ui/logout", headers=own)
    assert len(rows(service)) == 1
    ann.browser.post("/ui/logout", headers=own)
    assert rows(service) == []


@pytest.mark.parametrize("path", ["/ui/account/hub-token", "/ui/account/sign-out-everywhere"])
def test_the_person_ends_it(service: Service, ann: Ann, path: str) -> None:
    assert ann.browser.post(path, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert rows(service) == []


def test_it_ends_with_the_account(service: Service, ann: Ann) -> None:
    (user,) = service.get("/auth/users?filter[name]=ann").json["data"]
    space = ann.submit(name="mine")
    made(service.post(f"/auth/users/{user['id']}", {"active": False}), 202)
    assert service.work(space["latest_request"]["id"])["error"]["code"] == "sign_in_again"
    service.delete(f"/auth/users/{user['id']}")
    assert rows(service) == []


def test_a_space_of_a_person_who_is_gone_can_be_deleted(service: Service, ann: Ann, hub: StandInHub) -> None:
    space = ann.submit(name="mine")
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    (user,) = service.get("/auth/users?filter[name]=ann").json["data"]
    made(service.delete(f"/auth/users/{user['id']}"), 202)
    done = service.remove(space["id"])
    assert done["status"] == "succeeded"
    assert any("left on the target" in (event["message"] or "") for event in service.events(done["id"]))
    assert service.space(space["id"])["state"] == "deleted" and hub.spaces() == ["bob/mine"]


def test_a_session_that_has_expired_ends_it_as_well(service: Service, ann: Ann) -> None:
    space = ann.submit(name="mine")
    with service.app.app_context():
        db.session.execute(sa.update(LoginSession).values(expires_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()
    service.headers = {"Authorization": f"Bearer {service.login()['access_token']}"}
    assert service.work(space["latest_request"]["id"])["error"]["code"] == "sign_in_again"
    assert rows(service) == []


def test_a_row_of_another_person_is_of_no_use(service: Service, ann: Ann) -> None:
    with service.app.app_context():
        row = db.session.scalars(sa.select(PersonHubToken)).one()
        admin = db.session.scalars(sa.select(User).where(User.name == "admin")).one()
        values = {name: getattr(row, name) for name in ("encrypted_token", "key_id", "account_name", "renewable")}
        copy = PersonHubToken(user_id=admin.id, generation=admin.token_generation, expires_at=row.expires_at, **values)
        db.session.add(copy)
        db.session.commit()
    space = service.submit(**BODY, **{"as": "me"})
    done = service.work(space["latest_request"]["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "unreadable_secret")


def test_the_key_is_rotated(service: Service, ann: Ann) -> None:
    new = Vault("a new key of the tests, 0123456789 abcdef", service.services.settings.SECRET_KEY)
    with service.app.app_context():
        assert key_rotation.rotate(new) == 1
    (row,) = rows(service)
    assert row.key_id == new.key_id and new.decrypt(row.encrypted_token)["access"] == "hf_bob"


def test_the_form_offers_it(service: Service, ann: Ann) -> None:
    assert "Publish as" in ann.page("/ui/new") and "me: bob" in ann.page("/ui/new")
    form = {"space_type": "static", "path": "index.html", "content": "<p>x</p>", "as": "me", "action": "publish"}
    answer = ann.browser.post("/ui/new", data=form, headers=OWN, content_type="multipart/form-data")
    assert answer.status_code == 303, text_of(answer.text)
    page = ann.page(answer.headers["Location"].partition("?")[0])
    assert "Published as ann" in page
    form |= {"action": "check"}
    page = ann.browser.post("/ui/new", data=form, headers=OWN, content_type="multipart/form-data").text
    assert "--as me" in page and unescape(page).count("""**{'as': 'me'}""") == 1
    with service.app.app_context():
        assert db.session.scalars(sa.select(SpaceRequest)).one().space.namespace == "bob"
    expire(service)
    assert "Publish as" not in ann.page("/ui/new")
