"""Every file store on every database: contents are stored once, read back, and removed when unreferenced."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import sqlalchemy as sa
from moto.server import ThreadedMotoServer
from sqlalchemy.orm import Session

from assembler_runner.app import create_app
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import SettingsError, TooLarge
from assembler_runner.core.settings import load
from assembler_runner.files.content import Content, FileStoreUnavailable, Spool, content_of
from assembler_runner.files.models import Blob, BlobChunk, Bucket, BucketFile
from assembler_runner.files.store import CHUNK_BYTES, BlobMissing
from assembler_runner.ops.retention import collect
from assembler_runner.services import EXTENSION, Services
from tests.conftest import SECRETS, MakeService
from tests.support.people import make_realm
from tests.support.services import mariadb_database, postgres_database

pytestmark = pytest.mark.slow

DATABASES = {"sqlite": None, "postgresql": postgres_database, "mariadb": mariadb_database}
AT_ONCE = timedelta(seconds=-60)


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3-compatible server with the bucket `files`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    client.create_bucket(Bucket="files")
    client.close()
    try:
        yield address
    finally:
        server.stop()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server() as address:
        for name, value in (
            ("ENDPOINT_URL", address),
            ("REGION", "us-east-1"),
            ("ACCESS_KEY_ID", "x"),
            ("SECRET_ACCESS_KEY", "y"),
        ):
            monkeypatch.setenv(f"AWS_{name}", value)
        yield "s3://files/some/prefix"


@pytest.fixture(
    params=[
        *((name, "database") for name in DATABASES),
        ("sqlite", "local_filesystem"),
        ("sqlite", "s3"),
        ("postgresql", "s3"),
    ],
    ids="-".join,
)
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    database, store = request.param
    where = request.getfixturevalue("s3") if store == "s3" else store
    maker = DATABASES[database]
    with maker() if maker else _nothing() as uri:
        settings = {"DEFAULT_FILE_STORE": where} | ({"SQLALCHEMY_DATABASE_URI": uri} if uri else {})
        app = create_app(load(settings, **SECRETS), tmp_path)
        with app.app_context():
            db.create_all()
            yield app.extensions[EXTENSION]
            db.session.remove()
            db.engine.dispose()


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def refer(content: Content) -> BucketFile:
    """Creates a row that refers to a content; the caller commits."""
    from assembler_runner.accounts.models import Realm

    realm = db.session.scalar(sa.select(Realm)) or Realm(name="ours")
    db.session.add(realm)
    db.session.flush()
    bucket = Bucket(name=os.urandom(8).hex(), actor_type="user", actor_id="x", realm_id=realm.id)
    db.session.add(bucket)
    db.session.flush()
    names = {"name": "f", "path": "f", "directory": "."}
    row = BucketFile(
        bucket_id=bucket.id,
        hash=content.sha256,
        size=content.size,
        actor_type="user",
        actor_id="x",
        realm_id=realm.id,
        **names,
    )
    db.session.add(row)
    return row


SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * CHUNK_BYTES + 12345)


def test_contents_of_every_size_come_back(services: Services) -> None:
    contents = [os.urandom(size) for size in SIZES]
    stored = [content_of(data) for data in contents]
    services.files.stage(stored[3:])
    for _ in range(2):
        services.files.put(db.session(), stored)
        db.session.commit()
    assert db.session.scalar(sa.select(sa.func.count(Blob.sha256))) == len(SIZES)
    db.session.rollback()
    for data, content in zip(contents, stored, strict=True):
        with services.files.open(content.sha256) as file:
            assert file.read() == data
            middle = len(data) // 2
            file.seek(middle)
            assert file.read(10) == data[middle : middle + 10]
            file.seek(0)
            assert file.read(5) == data[:5]
    with pytest.raises(BlobMissing):
        services.files.open("0" * 64)


def test_only_unreferenced_contents_are_removed(services: Services) -> None:
    kept, left = (content_of(os.urandom(2 * CHUNK_BYTES + 5)) for _ in range(2))
    services.files.stage([kept, left])
    row = refer(kept)
    services.files.put(db.session(), [kept])
    db.session.commit()
    assert collect(services) == 0
    services.files.open(left.sha256).close()
    assert collect(services, AT_ONCE) == 1
    with pytest.raises(BlobMissing):
        services.files.open(left.sha256)
    assert services.files.content(kept.sha256, kept.size).read() == kept.read()
    db.session.delete(db.session.get_one(BucketFile, row.id))
    db.session.commit()
    assert collect(services, AT_ONCE) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(BlobChunk)) == 0
    db.session.rollback()
    # It can be stored again.
    services.files.stage([kept])
    assert services.files.content(kept.sha256, kept.size).read() == kept.read()


def test_a_content_about_to_be_referred_to_is_not_removed(services: Services) -> None:
    """A writer refers to an old content while another transaction tries to remove it."""
    content = content_of(os.urandom(CHUNK_BYTES + 1))
    services.files.stage([content])
    old = sa.update(Blob).values(used_at=utcnow() - timedelta(days=30))
    with Session(db.engine) as session:
        session.execute(old)
        session.commit()
    refer(content)
    services.files.put(db.session(), [content])
    removed: list[Any] = []

    def remove() -> None:
        removed.append(services.files.remove(content.sha256, Blob.used_at < utcnow() - timedelta(days=1)))

    other = threading.Thread(target=remove)
    other.start()
    # The removal cannot finish before this transaction ends.
    other.join(0.3)
    assert other.is_alive()
    db.session.commit()
    other.join(20)
    assert removed == [False]
    assert collect(services, AT_ONCE) == 0
    assert services.files.content(content.sha256, content.size).read() == content.read()


def test_lost_bytes_are_written_again(services: Services) -> None:
    content = content_of(os.urandom(3 * CHUNK_BYTES))
    services.files.stage([content])
    with Session(db.engine) as session:
        services.files._erase(session, content.sha256)
        session.commit()
    with pytest.raises(BlobMissing):
        services.files.open(content.sha256)
    services.files.put(db.session(), [content])
    db.session.commit()
    assert services.files.content(content.sha256, content.size).read() == content.read()


def test_two_writers_store_the_same_content_concurrently(services: Services) -> None:
    content = content_of(os.urandom(6 * CHUNK_BYTES + 7))
    problems: list[BaseException] = []

    def stage() -> None:
        try:
            services.files.stage([content])
        except BaseException as problem:  # noqa: BLE001 - reported below
            problems.append(problem)

    threads = [threading.Thread(target=stage) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert services.files.content(content.sha256, content.size).read() == content.read()


def test_left_overs_of_a_killed_process_are_removed(make_service: MakeService) -> None:
    service = make_service(DEFAULT_FILE_STORE="local_filesystem")
    make_realm(service, "ours")
    folder = service.services.instance / "files" / "ab"
    folder.mkdir(parents=True)
    (folder / "draft-1").write_bytes(b"half")
    with service.app.app_context():
        collect(service.services)
        assert (folder / "draft-1").exists()
        os.utime(folder / "draft-1", (0, 0))
        collect(service.services)
    assert not (folder / "draft-1").exists()


def test_an_s3_service_that_does_not_respond_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    app = create_app(load({"DEFAULT_FILE_STORE": "s3://files"}, **SECRETS), tmp_path)
    with app.app_context():
        db.create_all()
        with pytest.raises(FileStoreUnavailable):
            app.extensions[EXTENSION].files.stage([content_of(b"x" * CHUNK_BYTES)])
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize("value", ["s3://", "s3:///x", "gcs://x", "folder", ""])
def test_an_unknown_file_store_prevents_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match="DEFAULT_FILE_STORE"):
        load({"DEFAULT_FILE_STORE": value}, **SECRETS)


def test_a_spool_buffers_several_contents_and_enforces_its_limit(tmp_path: Path) -> None:
    with Spool(tmp_path, 100) as spool:
        first, second = spool.add([b"ab", b"c"]), spool.add([b"d" * 100])
        assert (first.read(), second.read(), first.read()) == (b"abc", b"d" * 100, b"abc")
        assert first.sha256 == content_of(b"abc").sha256
        with pytest.raises(TooLarge, match="100 bytes"):
            spool.add([b"e" * 101])
        assert spool.add([]).read() == b""
        assert list(tmp_path.iterdir()) == []
