"""Encrypts everything that is stored encrypted with the newest key, so that old keys can be dropped."""

from __future__ import annotations

import sqlalchemy as sa

from assembler_runner.accounts.models import HubCredential
from assembler_runner.core.database import db
from assembler_runner.core.vault import Vault
from assembler_runner.runtime.models import AppWatch
from assembler_runner.spaces.models import SpaceRequest


def rotate(vault: Vault) -> int:
    """Seals everything that is kept sealed with the present SECRET_KEY, so that former ones can be given up.

    Args:
        vault: with the former keys (OLD_SECRET_KEYS).
    Returns:
        How many secrets were sealed again.
    Raises:
        UnreadableSecret: one was sealed with a key that is not given; nothing is changed then.
    """
    credentials = db.session.scalars(sa.select(HubCredential)).all()
    for credential in credentials:
        credential.encrypted_token, credential.key_id = vault.reencrypt(credential.encrypted_token), vault.key_id
    sealed = SpaceRequest.encrypted_secrets
    requests = db.session.execute(sa.select(SpaceRequest.id, sealed).where(sealed.is_not(None))).all()
    for request_id, secrets in requests:
        # Not if the request has ended meanwhile: its secrets are gone then.
        row = sa.update(SpaceRequest).where(SpaceRequest.id == request_id, sealed.is_not(None))
        db.session.execute(
            row.values(encrypted_secrets=vault.reencrypt(str(secrets)), updated_at=SpaceRequest.updated_at)
        )
    marks = AppWatch.encrypted_fingerprints
    followed = db.session.execute(sa.select(AppWatch.space_id, marks).where(marks.is_not(None))).all()
    for space_id, encrypted_fingerprints in followed:
        mine = sa.update(AppWatch).where(AppWatch.space_id == space_id)
        db.session.execute(mine.values(encrypted_fingerprints=vault.reencrypt(str(encrypted_fingerprints))))
    db.session.commit()
    return len(credentials) + len(requests) + len(followed)
