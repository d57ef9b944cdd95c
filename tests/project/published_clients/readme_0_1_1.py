"""The examples of the client's README, for realms and robots; run in its own environment: ADDRESS PASSWORD."""

import hashlib
import io
import sys
import tarfile
import time
import uuid

import flame_hub

address, password = sys.argv[1:]
# As the README writes them: with a slash at the end.
auth = flame_hub.auth.PasswordAuth(username="admin", password=password, base_url=f"{address}/auth/")
client = flame_hub.AuthClient(base_url=f"{address}/auth/", auth=auth)

# Find, with a filter.
master_realms = client.find_realms(filter={"name": "master"})
assert len(master_realms) == 1
master_realm = master_realms.pop()
assert master_realm.built_in and isinstance(master_realm.id, uuid.UUID)
assert client.get_realm(master_realm.id) == master_realm

# Create, update, get, delete.
my_realm = client.create_realm(name="my-realm", display_name="Mine", description="for tests")
assert (my_realm.name, my_realm.display_name, my_realm.built_in) == ("my-realm", "Mine", False)
updated = client.update_realm(my_realm, description=None)
assert updated.description is None and updated.display_name == "Mine"
assert client.get_realm("497dcba3-ecbf-4587-a2dd-5eb0665e6880") is None

# Pages, filters, sorting.
for number in range(30):
    client.create_robot(name=f"robot-{number:02}", realm_id=my_realm, secret="a chosen secret")
for number in range(25):
    client.create_realm(name=f"realm-{number:02}")
assert client.find_realms(page={"limit": 50, "offset": 0}) == client.get_realms()
first_25 = client.find_realms(page={"limit": 25}, sort={"by": "name"})
next_10 = client.find_realms(page={"limit": 10, "offset": 10}, sort={"by": "name"})
assert first_25[10:20] == next_10
assert client.find_realms(filter={"name": "realm-07"}).pop().name == "realm-07"
operator = flame_hub._base_client.FilterOperator
liked = client.find_realms(filter={"name": "~realm-0"})
assert len(liked) == 10 and liked == client.find_realms(filter={"name": (operator.like, "realm-0")})
assert len(client.find_realms(filter={"built_in": True})) == 1
others = client.find_realms(filter={"name": (operator.neq, "master"), "created_at": (operator.gt, "2020-01-01")})
assert len(others) == 26
rising = client.find_realms(sort={"by": "created_at"})
assert rising == client.find_realms(sort={"by": "created_at", "order": "descending"})[::-1]

# Robots log in; what they see is their own realm.
robot = client.create_robot(name="worker", realm_id=my_realm.id, secret="a chosen secret", display_name="Worker")
assert client.get_robot(robot.id) == robot
robot = client.update_robot(robot, display_name=None, secret="another chosen secret")
assert robot.display_name is None and robot.active
own = flame_hub.auth.RobotAuth(
    robot_id=str(robot.id), robot_secret="another chosen secret", base_url=f"{address}/auth/"
)
robots_client = flame_hub.AuthClient(base_url=f"{address}/auth/", auth=own)
assert [realm.name for realm in robots_client.get_realms()] == ["my-realm"]
assert robots_client.get_realm(master_realm.id) is None

# The refresh token renews when the access token has run out.
old = auth._current_token
auth._current_token_expires_at = int(time.time()) - 1
assert client.get_realm(master_realm.id) == master_realm
assert auth._current_token.refresh_token != old.refresh_token

# Errors are understood.
nowhere = str(uuid.uuid4())
for what, status, code in (
    (lambda: client.create_robot(name="x", realm_id=nowhere, secret="a chosen secret"), 422, "invalid_request"),
    (lambda: client.create_realm(name="master"), 409, "name_taken"),
    (lambda: client.find_realms(filter={"nmae": "x"}), 400, "invalid_query"),
    (lambda: robots_client.create_realm(name="x"), 403, "forbidden"),
):
    try:
        what()
    except flame_hub.HubAPIError as problem:
        assert problem.error_response.status_code == status, problem
        assert (problem.error_response.code, bool(problem.error_response.message)) == (code, True)
    else:
        raise AssertionError(code)

# Buckets and their files.
storage = flame_hub.StorageClient(base_url=f"{address}/storage/", auth=auth)
bucket = storage.create_bucket("my-bucket")
assert bucket.actor_type == "user" and bucket.realm_id == master_realm.id and bucket.region is None
assert storage.get_bucket(bucket.id) == bucket and storage.get_buckets() == [bucket]
assert storage.find_buckets(filter={"name": "~my-b"}) == [bucket]
large = bytes(range(256)) * 20_000
first, second, third = storage.upload_to_bucket(
    bucket,
    {"file_name": "größe ✓.bin", "content": io.BytesIO(large)},
    {"file_name": "notes.txt", "content": b"one"},
    {"file_name": "notes.txt", "content": "two"},
)
assert (first.name, first.size, first.hash) == ("größe ✓.bin", len(large), hashlib.sha256(large).hexdigest())
assert (second.name, third.name) == ("notes.txt", "notes.txt") and second.id != third.id
assert storage.get_bucket_file(first.id) == first
assert len(storage.get_bucket_files()) == 3
assert {file.id for file in storage.find_bucket_files(filter={"name": "notes.txt"})} == {second.id, third.id}
assert b"".join(storage.stream_bucket_file(first)) == large
assert [b"".join(storage.stream_bucket_file(file)) for file in (second, third)] == [b"one", b"two"]
with tarfile.open(fileobj=io.BytesIO(b"".join(storage.stream_bucket_tarball(bucket)))) as tar:
    packed = [(entry.name, tar.extractfile(entry).read()) for entry in tar]
assert sorted(packed) == [("größe ✓.bin", large), ("notes.txt", b"one"), ("notes.txt", b"two")]
robots_storage = flame_hub.StorageClient(base_url=f"{address}/storage/", auth=own)
assert robots_storage.get_bucket(bucket) is None and robots_storage.get_bucket_file(first) is None
try:
    storage.create_bucket("my-bucket")
except flame_hub.HubAPIError as problem:
    assert problem.error_response.code == "name_taken"
else:
    raise AssertionError("a name twice")
storage.delete_bucket_file(second)
assert storage.get_bucket_file(second.id) is None
storage.delete_bucket(bucket)
assert storage.get_bucket(bucket.id) is None and storage.get_bucket_files() == []

client.delete_robot(robot)
assert client.get_robot(robot.id) is None
client.delete_realm(my_realm)
assert client.get_realm(my_realm.id) is None
print("done")
