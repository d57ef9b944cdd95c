"""The git credentials of a realm, one for each host: stored encrypted, never shown."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from assembler_runner.accounts import audit
from assembler_runner.accounts.models import GitCredential, Realm
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import Finding, InvalidRequest, NotFound, QuotaExceeded
from assembler_runner.core.git import HOST
from assembler_runner.core.vault import UnreadableSecret, Vault

MOST_IN_REALM = 50


def find(account: Account, realm_id: str) -> Sequence[GitCredential]:
    """Returns the credentials of a realm, by host.

    Raises:
        NotFound: the realm does not exist for this account.
    """
    check_realm(account, realm_id)
    rows = sa.select(GitCredential).where(GitCredential.realm_id == realm_id).order_by(GitCredential.host)
    return db.session.scalars(rows).all()


def find_one(account: Account, realm_id: str, host: str) -> GitCredential:
    """Returns the credential of a realm for a host.

    Raises:
        NotFound: the realm does not exist for this account, or has none for this host.
    """
    check_realm(account, realm_id)
    row = db.session.get(GitCredential, (realm_id, host.lower()))
    if row is None:
        raise NotFound("The realm has no git credentials for this host.", hint="Set them with PUT.")
    return row


def store(vault: Vault, account: Account, realm_id: str, host: str, user: str, password: str) -> GitCredential:
    """Sets the credential of a realm for a host.

    Args:
        vault: encrypts the password.
        account: the caller.
        realm_id: the realm.
        host: host name, with the port if it is not the usual one.
        user: user name.
        password: password or token.
    Raises:
        NotFound: the realm does not exist for this account.
        InvalidRequest: the host is not valid.
        QuotaExceeded: the realm has the maximum number of credentials.
    """
    check_realm(account, realm_id)
    host = host.lower()
    if not HOST.fullmatch(host):
        finding = Finding("invalid_field", "This is no host name.", path="host", hint="Write it as git.example.org.")
        raise InvalidRequest(issues=[finding])
    row = db.session.get(GitCredential, (realm_id, host))
    action = "update" if row else "create"
    if row is None:
        if len(find(account, realm_id)) >= MOST_IN_REALM:
            raise QuotaExceeded(f"The realm has {MOST_IN_REALM} git credentials.", hint="Delete those not needed.")
        row = GitCredential(realm_id=realm_id, host=host)
        db.session.add(row)
    row.username, row.key_id = user, vault.key_id
    row.encrypted_password = vault.encrypt({"password": password, "realm": realm_id, "host": host})
    audit.record(account, action, "git_credential", realm_id, host, realm_id)
    db.session.commit()
    return row


def remove(account: Account, realm_id: str, host: str) -> None:
    """Deletes the credential of a realm for a host.

    Raises:
        NotFound: the realm does not exist for this account, or has none for this host.
    """
    row = find_one(account, realm_id, host)
    audit.record(account, "delete", "git_credential", realm_id, row.host, realm_id)
    db.session.delete(row)
    db.session.commit()


def login_for(vault: Vault, realm_id: str, host: str) -> tuple[str, str] | None:
    """Returns user name and password of a realm for a host, or None.

    Raises:
        UnreadableSecret: the password was encrypted with an unknown key, or stored for another realm or host.
    """
    row = db.session.get(GitCredential, (realm_id, host))
    if row is None:
        return None
    opened = vault.decrypt(row.encrypted_password)
    if (opened.get("realm"), opened.get("host")) != (realm_id, host):
        raise UnreadableSecret("The git credentials were stored for another realm or host.", hint="Set them again.")
    return row.username, opened["password"]


def check_realm(account: Account, realm_id: str) -> None:
    """Checks that a realm exists for an account.

    Raises:
        NotFound: it does not.
    """
    if not account.sees(realm_id) or db.session.get(Realm, realm_id) is None:
        raise NotFound("There is no realm with this id.")
