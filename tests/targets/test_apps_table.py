"""The table of apps: names of hosts, secrets, and what is wanted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.core.vault import UnreadableSecret, Vault
from assembler_runner.ops.key_rotation import rotate
from assembler_runner.targets.local.apps_table import SECRETS, LocalApps, host_label
from tests.conftest import MakeService


@pytest.fixture
def apps(make_service: MakeService) -> Iterator[LocalApps]:
    service = make_service(APPS="process")
    with service.app.app_context():
        found = service.services.targets.local.apps
        assert found is not None
        yield found


@pytest.mark.parametrize(
    ("names", "label"),
    [(("alice", "Greeter"), "alice-greeter"), (("a_b", "c.d"), "a-b-c-d"), (("x", "-y-"), "x-y")],
)
def test_labels_are_made_of_the_names(names: tuple[str, str], label: str) -> None:
    assert host_label(*names) == label


def test_long_and_odd_names_have_labels() -> None:
    labels = {
        host_label("a" * 96, "b" * 96),
        host_label("a" * 96, "b" * 95),
        host_label("_", "_"),
        host_label("_", "__"),
    }
    assert len(labels) == 4 and all(len(label) <= 63 and label.strip("-") == label for label in labels)


def test_two_spaces_never_share_a_host(apps: LocalApps) -> None:
    for namespace, name in (("a", "b-c"), ("a-b", "c"), ("a", "b_c")):
        apps.create(namespace, name, "public")
    hosts = [row.host for row in apps.all()]
    assert len(set(hosts)) == 3 and "a-b-c" in hosts
    apps.rename(("a", "b_c"), ("A-B", "C2"))
    assert apps.find("a-b", "c2") is not None


def test_names_differ_not_only_in_case(apps: LocalApps) -> None:
    apps.create("Alice", "App", "public")
    apps.create("alice", "app", "private")
    (row,) = apps.all()
    assert (row.namespace, row.visibility) == ("Alice", "public")


def test_secrets_are_encrypted_for_their_app(apps: LocalApps) -> None:
    apps.create("a", "one", "public")
    apps.create("a", "two", "public")
    apps.add_secrets("a", "one", {"KEY": "top secret"})
    first, second = apps.find("a", "one"), apps.find("a", "two")
    assert first is not None and second is not None
    (stored,) = db.session.scalars(sa.select(SECRETS.c.encrypted)).all()
    assert "top secret" not in stored
    assert apps.secrets(first.id) == {"KEY": "top secret"}
    # A row that is copied to another app gives nothing away.
    db.session.execute(sa.insert(SECRETS).values(app_id=second.id, name="KEY", encrypted=stored))
    db.session.commit()
    assert apps.secrets(second.id) == {}
    apps.set_secret("a", "one", "KEY", None)
    assert apps.secrets(first.id) == {}


def test_a_changed_secret_starts_the_app_anew(apps: LocalApps) -> None:
    apps.create("a", "one", "public")
    apps.set_secret("a", "one", "KEY", "x")
    row = apps.find("a", "one")
    assert row is not None and row.generation == 1


def test_a_removed_app_leaves_no_secret(apps: LocalApps) -> None:
    apps.create("a", "one", "public")
    apps.add_secrets("a", "one", {"KEY": "x"})
    apps.remove("a", "one")
    assert apps.all() == [] and db.session.scalar(sa.select(sa.func.count()).select_from(SECRETS)) == 0


def test_keys_are_rotated(apps: LocalApps, make_service: MakeService) -> None:
    apps.create("a", "one", "public")
    apps.add_secrets("a", "one", {"KEY": "x"})
    old, new = "the key of the tests, 0123456789 abcdef", "the next key of the tests, 0123456789"
    assert rotate(Vault(new, old)) == 1
    row = apps.find("a", "one")
    assert row is not None
    rotated = LocalApps(lambda: db.engine, Vault(new))
    assert rotated.secrets(row.id) == {"KEY": "x"}
    with pytest.raises(UnreadableSecret):
        apps.secrets(row.id)


def test_labels_of_some_places(apps: LocalApps) -> None:
    for name in ("one", "two", "three", "stored", "new"):
        apps.create("alice", name, "public", commit_oid=None if name == "new" else "0" * 40)
    apps.report(apps.find("alice", "stored").id, stage="STORED")  # type: ignore[union-attr]  # it exists
    places = {"alice/one", "alice/two", "alice/stored", "alice/new", "alice/none"}
    assert apps.labels(places) == {"alice/one": "alice-one", "alice/two": "alice-two"}
