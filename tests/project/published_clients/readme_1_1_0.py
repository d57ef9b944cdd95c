"""The examples of the client's README, for realms, users, clients, roles and grants; run as: ADDRESS PASSWORD."""

import hashlib
import io
import sys
import tarfile
import threading
import uuid

import flame_hub
from flame_hub.types import FilterOperator

address, password = sys.argv[1:]
auth = flame_hub.auth.PasswordAuth(username="admin", password=password, base_url=f"{address}/auth/")
hub = flame_hub.AuthClient(base_url=f"{address}/auth/", auth=auth)

master = hub.find_realms(filter={"name": "master"}).pop()
assert hub.get_realm(master.id) == master and master.built_in
assert hub.get_realm("497dcba3-ecbf-4587-a2dd-5eb0665e6880") is None
realm = hub.create_realm(name="my-realm", description="for tests")
assert hub.update_realm(realm, display_name="Mine").display_name == "Mine"
realms, meta = hub.find_realms(filter={"builtIn": False}, meta=True)
assert [row.id for row in realms] == [realm.id] and (meta.total, meta.limit, meta.offset) == (1, 50, 0)

# Users: e-mail only where it is asked for, the realm always included by this client.
user = hub.create_user(name="ann", email="ann@example.org", display_name="Ann", first_name="A", last_name="N")
assert (user.name, user.active, user.name_locked, user.email) == ("ann", True, False, None)
got = hub.get_user(user.id, fields="email")
assert (got.email, got.realm.name, got.realm_id) == ("ann@example.org", "master", master.id)
assert hub.update_user(user, first_name=None, active=False).first_name is None
assert hub.update_user(user.id, active=True).active
assert [row.name for row in hub.find_users(filter={"name": (FilterOperator.like, "AN")})] == ["ann"]
assert [row.name for row in hub.get_users()] == ["ann", "admin"]
assert [row.name for row in hub.find_users(sort={"by": "created_at"})] == ["admin", "ann"]

# Roles, permissions, and what joins them.
role = hub.create_role(name="editor", display_name="Editor")
assert hub.update_role(role, description="edits").description == "edits"
assert hub.get_role(role.id).realm.name == "master"
permission = hub.create_permission(name="thing_do", description="does it")
assert permission.realm_id is None and not permission.built_in
assert hub.update_permission(permission, display_name="Do").display_name == "Do"
space_read = hub.find_permissions(filter={"name": "space_read"}).pop()
joined = hub.create_role_permission(role, space_read)
full = hub.get_role_permission(joined.id)
assert (full.role.name, full.permission.name, full.role_realm.name) == ("editor", "space_read", "master")
assert len(hub.find_role_permissions(filter={"role_id": str(role.id)})) == 1
user_role = hub.create_user_role(user, role)
# This version asks for the realms only.
assert hub.get_user_role(user_role.id).user_realm.name == "master"
member = hub.find_roles(filter={"name": "member"}).pop()
held = {row.role_id for row in hub.find_user_roles(filter={"user_id": str(user.id)})}
assert held == {member.id, role.id}
user_permission = hub.create_user_permission(user, permission)
assert hub.get_user_permission(user_permission.id).permission.name == "thing_do"
assert len(hub.get_user_permissions()) == 1 and len(hub.get_roles()) == 6 and len(hub.get_role_permissions()) > 40

# Clients: the same machine accounts as robots.
client = hub.create_client(name="worker", realm_id=realm, secret="a chosen secret")
assert client.secret_hashed and client.auth_method == "secret" and client.realm_id == realm.id
assert hub.get_client(client.id).realm.name == "my-realm"
client = hub.update_client(client, secret="another chosen secret", display_name="Worker", is_confidential=True)
own = flame_hub.auth.ClientAuth(
    client_id=str(client.id), client_secret="another chosen secret", base_url=f"{address}/auth/"
)
theirs = flame_hub.AuthClient(base_url=f"{address}/auth/", auth=own)
assert [row.name for row in theirs.get_realms()] == ["my-realm"]
assert theirs.get_realm(master.id) is None
assert [row.name for row in hub.find_clients(filter={"realm_id": str(realm.id)})] == ["worker"]

# All threads renew one token at the same moment, and all go on.
old = auth._current_token
auth._current_token_expires_at_nanos = 0
failures = []


def renew() -> None:
    try:
        hub.get_realms()
    except Exception as problem:  # noqa: BLE001 - told below
        failures.append(problem)


threads = [threading.Thread(target=renew) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert failures == [] and auth._current_token.refresh_token != old.refresh_token

# A token by itself.
static = flame_hub.AuthClient(base_url=f"{address}/auth/", auth=auth._current_token.access_token)
assert static.get_realm(master.id) == master

for what, status, code in (
    (lambda: hub.create_client(name="x", realm_id=str(uuid.uuid4())), 422, "invalid_request"),
    (lambda: hub.create_role(name="admin"), 409, "name_taken"),
    (lambda: hub.find_users(filter={"nmae": "x"}), 400, "invalid_query"),
    (theirs.get_users, 403, "forbidden"),
):
    try:
        what()
    except flame_hub.HubAPIError as problem:
        assert problem.error_response.status_code == status, problem
        assert problem.error_response.code == code
    else:
        raise AssertionError(code)
try:
    flame_hub.AuthClient(
        base_url=f"{address}/auth/",
        auth=flame_hub.auth.PasswordAuth(username="admin", password="wrong", base_url=f"{address}/auth/"),
    ).get_realms()
except flame_hub.HubAPIError as problem:
    assert problem.error_response.code == "invalid_credentials"

# Buckets and their files.
storage = flame_hub.StorageClient(base_url=f"{address}/storage/", auth=auth)
bucket = storage.create_bucket("my-bucket", region="here")
assert (bucket.region, bucket.actor_type, bucket.realm_id) == ("here", "user", master.id)
assert storage.get_bucket(bucket.id) == bucket and storage.get_buckets() == [bucket]
large = bytes(range(256)) * 20_000
first, second, third = storage.upload_to_bucket(
    bucket,
    {"file_name": "größe ✓.bin", "content": io.BytesIO(large)},
    {"file_name": "data/notes.txt", "content": b"one"},
    {"file_name": "data/notes.txt", "content": b"two"},
)
assert (first.name, first.size, first.hash) == ("größe ✓.bin", len(large), hashlib.sha256(large).hexdigest())
assert (second.name, second.directory, second.path) == ("notes.txt", "data", "data/notes.txt")
assert storage.get_bucket_file(first.id).bucket == bucket
found = storage.find_bucket_files(filter={"bucketId": str(bucket.id)}, sort={"by": "createdAt"})
assert {file.id for file in found} == {first.id, second.id, third.id} and found[0].bucket == bucket
assert b"".join(storage.stream_bucket_file(first)) == large
assert [b"".join(storage.stream_bucket_file(file)) for file in (second, third)] == [b"one", b"two"]
with tarfile.open(fileobj=io.BytesIO(b"".join(storage.stream_bucket_tarball(bucket)))) as tar:
    assert sum(entry.size for entry in tar) == len(large) + 6
theirs_storage = flame_hub.StorageClient(base_url=f"{address}/storage/", auth=own)
assert theirs_storage.get_bucket(bucket) is None
storage.delete_bucket_file(first)
assert storage.get_bucket_file(first.id) is None
storage.delete_bucket(bucket)
assert storage.get_buckets() == [] and storage.get_bucket_files() == []

for delete, row in (
    (hub.delete_user_permission, user_permission),
    (hub.delete_user_role, user_role),
    (hub.delete_role_permission, joined),
    (hub.delete_permission, permission),
    (hub.delete_role, role),
    (hub.delete_user, user),
    (hub.delete_client, client),
    (hub.delete_realm, realm),
):
    delete(row)
assert hub.get_user(user) is None and hub.get_client(client) is None and hub.get_realm(realm) is None
print("done")
