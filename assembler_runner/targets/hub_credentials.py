"""The Hub token of a realm: validated by the Hub when it is set, stored encrypted, never shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assembler_runner.accounts import audit
from assembler_runner.accounts.models import HubCredential, Realm
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import Finding, InvalidRequest, NotFound, TargetUnauthorized
from assembler_runner.core.vault import Vault
from assembler_runner.targets.hub.account import READ_ROLE, HubAccount
from assembler_runner.targets.realm_targets import RealmTargets


def find(account: Account, realm_id: str) -> HubCredential:
    """Returns the Hub credential of a realm.

    Raises:
        NotFound: the realm does not exist for this account, or has no token.
    """
    check_realm(account, realm_id)
    row = db.session.get(HubCredential, realm_id)
    if row is None:
        raise NotFound("The realm has no Hub token.", hint="Set one with PUT.")
    return row


def store(
    targets: RealmTargets, vault: Vault, account: Account, realm_id: str, values: Mapping[str, Any]
) -> HubCredential:
    """Sets the Hub token of a realm.

    Args:
        targets: used to query the Hub for the account of the token.
        vault: encrypts the token.
        account: the caller.
        realm_id: the realm.
        values: `token`, optionally `namespaces` and `default_namespace`.
    Returns:
        The stored credential.
    Raises:
        NotFound: the realm does not exist for this account.
        InvalidRequest: the Hub does not accept the token, or it may not write to the namespaces.
        TargetUnavailable: the Hub does not respond; nothing was stored.
    """
    check_realm(account, realm_id)
    # No transaction stays open while the Hub is queried.
    db.session.rollback()
    hub = _ask(targets, values["token"])
    namespaces = list(dict.fromkeys(values.get("namespaces") or hub.namespaces))
    default = values.get("default_namespace") or (hub.name if hub.name in namespaces else namespaces[0])
    if findings := _check(hub, namespaces, default):
        raise InvalidRequest(issues=findings)
    row = db.session.get(HubCredential, realm_id)
    action = "update" if row else "create"
    if row is None:
        row = HubCredential(realm_id=realm_id)
        db.session.add(row)
    row.encrypted_token, row.key_id = vault.encrypt({"token": values["token"], "realm": realm_id}), vault.key_id
    row.account_name, row.plan, row.role = hub.name, hub.plan, hub.role
    row.orgs = [{"name": name, "role": role} for name, role in hub.orgs.items()]
    row.namespaces, row.default_namespace, row.checked_at = namespaces, default, utcnow()
    audit.record(account, action, "hub_credential", realm_id, hub.name, realm_id, namespaces=namespaces)
    db.session.commit()
    return row


def remove(account: Account, realm_id: str) -> HubCredential:
    """Deletes the Hub token of a realm.

    Raises:
        NotFound: the realm does not exist for this account, or has no token.
    """
    row = find(account, realm_id)
    audit.record(account, "delete", "hub_credential", realm_id, row.account_name, realm_id)
    db.session.delete(row)
    db.session.commit()
    return row


def check_realm(account: Account, realm_id: str) -> None:
    """Checks that a realm exists for an account.

    Raises:
        NotFound: it does not.
    """
    if not account.sees(realm_id) or db.session.get(Realm, realm_id) is None:
        raise NotFound("There is no realm with this id.")


def _ask(targets: RealmTargets, token: str) -> HubAccount:
    try:
        return targets.whoami(token)
    except TargetUnauthorized:
        hint = "Create a token with write access on the Hub (Settings, Access Tokens) and send that."
        finding = Finding("token_not_accepted", "The Hub does not accept this token.", path="token", hint=hint)
        raise InvalidRequest(issues=[finding]) from None


def _check(hub: HubAccount, namespaces: list[str], default: str) -> list[Finding]:
    findings = []
    if hub.role == READ_ROLE:
        message, hint = "The token is read-only.", "Create a token with write access."
        findings.append(Finding("token_only_reads", message, path="token", hint=hint))
    allowed = ", ".join(hub.namespaces)
    for number, name in enumerate(namespaces):
        if name not in hub.namespaces:
            message = f"The token's account may not publish to {name}."
            path = f"namespaces.{number}"
            findings.append(Finding("namespace_not_allowed", message, path=path, hint=f"Use: {allowed}."))
    if default not in namespaces:
        message = f"The default namespace {default} is not one of the realm's namespaces."
        hint = f"Use one of: {', '.join(namespaces)}."
        findings.append(Finding("namespace_not_allowed", message, path="default_namespace", hint=hint))
    return findings
