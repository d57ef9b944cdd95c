"""Removes content that nothing refers to any more. Every worker does it now and then, also two at the same time."""

from __future__ import annotations

import logging
from datetime import timedelta

import sqlalchemy as sa

from assembler_runner.blob_models import Blob
from assembler_runner.bucket_models import BucketFile
from assembler_runner.database import db, utcnow
from assembler_runner.host import Host
from assembler_runner.models import RequestFile
from assembler_runner.storage import UNUSED_AFTER

log = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
AT_ONCE = 1000
REFERENCES = (RequestFile.sha256, RequestFile.given_sha256, BucketFile.hash)
"""Every column that names a content."""


def collect(host: Host, unused_for: timedelta = UNUSED_AFTER) -> int:
    """Removes what nothing refers to and what was not about to be referred to for a while.

    Args:
        host: the process.
        unused_for: how long it must not have been in use; what is still arriving must be younger.
    Returns:
        How many contents were removed.
    """
    before = utcnow() - unused_for
    unused = sa.and_(
        Blob.used_at < before,
        *(~sa.exists(sa.select(sa.literal(1)).where(column == Blob.sha256)) for column in REFERENCES),
    )
    found = list(db.session.scalars(sa.select(Blob.sha256).where(unused).limit(AT_ONCE)))
    db.session.rollback()
    removed = sum(host.files.remove(digest, unused) for digest in found)
    host.files.remove_left_overs(before)
    if removed:
        log.info("%d contents that nothing refers to were removed", removed)
    return removed
