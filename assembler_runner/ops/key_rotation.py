"""Key rotation: re-encrypts all stored secrets with the current key, so that former keys can be removed."""

from __future__ import annotations

import sqlalchemy as sa

from assembler_runner.accounts.models import GitCredential, HubCredential, PersonHubToken
from assembler_runner.core.database import db
from assembler_runner.core.vault import Vault
from assembler_runner.runtime.models import AppWatch
from assembler_runner.spaces.models import SpaceRequest
from assembler_runner.targets.local.apps_table import AppSecret


def rotate(vault: Vault) -> int:
    """Encrypts all stored secrets with the current SECRET_KEY.

    Args:
        vault: the vault, with the former keys (OLD_SECRET_KEYS).
    Returns:
        Number of secrets that were encrypted again.
    Raises:
        UnreadableSecret: a secret was encrypted with an unknown key; nothing is changed.
    """
    credentials = db.session.scalars(sa.select(HubCredential)).all()
    for credential in credentials:
        credential.encrypted_token, credential.key_id = vault.reencrypt(credential.encrypted_token), vault.key_id
    persons = db.session.scalars(sa.select(PersonHubToken)).all()
    for person in persons:
        person.encrypted_token, person.key_id = vault.reencrypt(person.encrypted_token), vault.key_id
    logins = db.session.scalars(sa.select(GitCredential)).all()
    for login in logins:
        login.encrypted_password, login.key_id = vault.reencrypt(login.encrypted_password), vault.key_id
    encrypted = SpaceRequest.encrypted_secrets
    requests = db.session.execute(sa.select(SpaceRequest.id, encrypted).where(encrypted.is_not(None))).all()
    for request_id, encrypted_secrets in requests:
        # A request that has ended since then has no secrets any more.
        row = sa.update(SpaceRequest).where(SpaceRequest.id == request_id, encrypted.is_not(None))
        db.session.execute(
            row.values(encrypted_secrets=vault.reencrypt(str(encrypted_secrets)), updated_at=SpaceRequest.updated_at)
        )
    fingerprints = AppWatch.encrypted_fingerprints
    watches = db.session.execute(sa.select(AppWatch.space_id, fingerprints).where(fingerprints.is_not(None))).all()
    for space_id, encrypted_fingerprints in watches:
        watch = sa.update(AppWatch).where(AppWatch.space_id == space_id)
        db.session.execute(watch.values(encrypted_fingerprints=vault.reencrypt(str(encrypted_fingerprints))))
    secrets = db.session.scalars(sa.select(AppSecret)).all()
    for secret in secrets:
        secret.encrypted = vault.reencrypt(secret.encrypted)
    db.session.commit()
    return len(credentials) + len(persons) + len(logins) + len(requests) + len(watches) + len(secrets)
