"""/storage/buckets and /storage/bucket-files: create, upload, read, download, delete."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, make_response, request

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.download import attachment, in_context
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.buckets import BucketFileSchema, BucketInput, BucketSchema
from assembler_runner.api.uploads import FILES_BODY, new_spool, read_parts
from assembler_runner.core.database import db
from assembler_runner.core.listing import Listing, read_added, read_page
from assembler_runner.files.content import pieces_of
from assembler_runner.files.models import Bucket, BucketFile
from assembler_runner.requests import buckets
from assembler_runner.requests.buckets import BUCKET_FILES, BUCKETS
from assembler_runner.services import current_services

blueprint = Blueprint("storage", __name__, url_prefix="/storage", description="Buckets: files that requests refer to.")

_BUCKET = {
    "id": Bucket.id,
    "name": Bucket.name,
    "region": Bucket.region,
    "actor_type": Bucket.actor_type,
    "actor_id": Bucket.actor_id,
    "realm_id": Bucket.realm_id,
    "created_at": Bucket.created_at,
    "updated_at": Bucket.updated_at,
}
_BUCKETS = Listing(_BUCKET, Bucket.id)
_FILES = Listing(
    {
        **{name: getattr(BucketFile, name) for name in ("path", "directory", "hash", "size", "bucket_id")},
        **{name: getattr(BucketFile, name) for name in _BUCKET if name != "region"},
    },
    BucketFile.id,
    includes=("bucket",),
)
_bucket = BucketSchema()


@blueprint.get("/buckets")
@blueprint.needs("bucket_read")
@blueprint.doc(**fails(400))
@blueprint.response(200, list_of(BucketSchema))
def list_buckets() -> dict[str, Any]:
    """List buckets"""
    page = read_page(db.session(), BUCKETS.query(current_account()), _BUCKETS, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.post("/buckets")
@blueprint.needs("bucket_create")
@blueprint.doc(**takes(BucketInput))
@blueprint.doc(**fails(400, 409, 422))
@blueprint.response(201, BucketSchema)
def create_bucket() -> Bucket:
    """Create a bucket"""
    row: Bucket = BUCKETS.create(current_account(), load(BucketInput(), read_object()))
    return row


@blueprint.get("/buckets/<bucket_id>")
@blueprint.needs("bucket_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, BucketSchema)
def get_bucket(bucket_id: str) -> Bucket:
    """Get a bucket"""
    row: Bucket = BUCKETS.find(current_account(), bucket_id)
    return row


@blueprint.post("/buckets/<bucket_id>")
@blueprint.needs("bucket_update")
@blueprint.doc(**takes(BucketInput))
@blueprint.doc(**fails(400, 404, 409, 422))
@blueprint.response(202, BucketSchema)
def update_bucket(bucket_id: str) -> Bucket:
    """Update the given fields of a bucket"""
    BUCKETS.find(current_account(), bucket_id)
    row: Bucket = BUCKETS.update(current_account(), bucket_id, load(BucketInput(partial=True), read_object()))
    return row


@blueprint.delete("/buckets/<bucket_id>")
@blueprint.needs("bucket_delete")
@blueprint.doc(**fails(404))
@blueprint.response(202, BucketSchema)
def delete_bucket(bucket_id: str) -> Response:
    """Delete a bucket with its files"""
    shown = _bucket.dump(BUCKETS.find(current_account(), bucket_id))
    BUCKETS.delete(current_account(), bucket_id)
    return make_response(jsonify(shown), 202)


@blueprint.post("/buckets/<bucket_id>/upload")
@blueprint.needs("bucket_update")
@blueprint.doc(**FILES_BODY)
@blueprint.doc(**fails(400, 404, 413, 422, 503))
@blueprint.response(201, list_of(BucketFileSchema))
def upload_files(bucket_id: str) -> Response:
    """Upload files to a bucket

    One part per file; all files are stored or none. An existing path is not replaced: the upload adds a newer file.
    """
    account, services = current_account(), current_services()
    BUCKETS.find(account, bucket_id)
    with new_spool() as spool:
        parts = read_parts(spool)
        rows = buckets.store(services, account, bucket_id, [(part.filename, part.content) for part in parts.files])
    shown = BucketFileSchema(many=True, exclude=("bucket",)).dump(rows)
    meta = {"total": len(rows), "limit": len(rows), "offset": 0, "schema": {}}
    return make_response(jsonify({"data": shown, "meta": meta}), 201)


@blueprint.get("/buckets/<bucket_id>/stream")
@blueprint.needs("bucket_read")
@blueprint.doc(
    responses={"200": {"description": "A tar file", "content": {"application/x-tar": {}}}},
    **{"x-permission": "bucket_read"},
)
@blueprint.doc(**fails(404))
def stream_bucket(bucket_id: str) -> Response:
    """Download all files of a bucket as tar

    Files with the same path are all included, the newest one last.
    """
    bucket = BUCKETS.find(current_account(), bucket_id)
    services, name, files = current_services(), bucket.name, buckets.files_of(bucket.id)
    db.session.rollback()
    return attachment(in_context(buckets.tar(services, files)), f"{name}.tar", "application/x-tar")


@blueprint.get("/bucket-files")
@blueprint.needs("bucket_read")
@blueprint.doc(**fails(400))
@blueprint.response(200, list_of(BucketFileSchema))
def list_bucket_files() -> Response:
    """List files of buckets

    For a single bucket, use `filter[bucket_id]=…`.
    """
    page = read_page(db.session(), BUCKET_FILES.query(current_account()), _FILES, request.args)
    shown = BucketFileSchema(many=True, exclude={"bucket"} - page.added)
    return jsonify({"data": shown.dump(page.rows), "meta": page.meta()})


@blueprint.get("/bucket-files/<file_id>")
@blueprint.needs("bucket_read")
@blueprint.doc(**fails(400, 404))
@blueprint.response(200, BucketFileSchema)
def get_bucket_file(file_id: str) -> Response:
    """Get the metadata of a file"""
    row = BUCKET_FILES.find(current_account(), file_id)
    return jsonify(BucketFileSchema(exclude={"bucket"} - read_added(_FILES, request.args)).dump(row))


@blueprint.delete("/bucket-files/<file_id>")
@blueprint.needs("bucket_delete")
@blueprint.doc(**fails(404))
@blueprint.response(202, BucketFileSchema)
def delete_bucket_file(file_id: str) -> Response:
    """Delete a file of a bucket

    Spaces that were published with it are not affected.
    """
    shown = BucketFileSchema(exclude=("bucket",)).dump(BUCKET_FILES.find(current_account(), file_id))
    BUCKET_FILES.delete(current_account(), file_id)
    return make_response(jsonify(shown), 202)


@blueprint.get("/bucket-files/<file_id>/stream")
@blueprint.needs("bucket_read")
@blueprint.doc(responses={"200": {"description": "The content", "content": {"application/octet-stream": {}}}})
@blueprint.doc(**fails(404))
def stream_bucket_file(file_id: str) -> Response:
    """Download the content of a file"""
    row = BUCKET_FILES.find(current_account(), file_id)
    digest, name, size = row.hash, row.name, row.size
    db.session.rollback()
    file = current_services().files.open(digest)
    response = attachment(in_context(pieces_of(file)), name, "application/octet-stream")
    response.call_on_close(file.close)
    response.headers["Content-Length"] = str(size)
    response.headers["ETag"] = f'"{digest}"'
    return response
