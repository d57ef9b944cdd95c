"""Which targets a realm can publish to, and with whose token.

A realm's own Hub token comes first; without one only `master`, and realms that an administrator lets share it, use the
service's own (HF_TOKEN). All others have the local target.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from flask import g, has_request_context

from assembler_runner.accounts.models import HubCredential, Realm
from assembler_runner.accounts.permissions import MASTER_REALM
from assembler_runner.core.database import db
from assembler_runner.core.settings import Settings
from assembler_runner.core.vault import UnreadableSecret, Vault
from assembler_runner.targets import Target
from assembler_runner.targets.hub.target import HubAccount, HuggingFaceTarget

LOCAL, HUB = "local", "huggingface"

# Made once: to put a statement together takes longer than to send it.
_ACCESS = (
    sa.select(HubCredential, Realm.name, Realm.share_default_hub)
    .select_from(Realm)
    .outerjoin(HubCredential, HubCredential.realm_id == Realm.id)
    .where(Realm.id == sa.bindparam("realm_id", type_=sa.String))
)


@dataclass(frozen=True)
class HubAccess:
    """How a realm reaches the Hub.

    Args:
        namespaces: where it may publish; None for wherever the token may.
        default_namespace: where it publishes if a request names none; None for the token's own.
    """

    namespaces: tuple[str, ...] | None
    default_namespace: str | None


class RealmTargets:
    """The targets of all realms; a target is made once for each token.

    Args:
        settings: the Hub's address, the service's own token, the default target.
        local: the local target, which all realms have.
        vault: opens the tokens of realms.
        work_folder: where files stand while they go up.
    """

    def __init__(self, settings: Settings, local: Target, vault: Vault, work_folder: Path) -> None:
        self._settings, self._local, self._vault, self._work_folder = settings, local, vault, work_folder
        self._hubs: dict[str, HuggingFaceTarget] = {}
        self._lock = threading.Lock()

    def find(self, realm_id: str, name: str) -> Target | None:
        """Returns the target of that name for a realm.

        Args:
            realm_id: the realm.
            name: local or huggingface.
        Returns:
            The target; None if the realm has none of that name.
        Raises:
            UnreadableSecret: the realm's token was sealed with a key that is gone.
        """
        if name == LOCAL:
            return self._local
        token = self.token(realm_id) if name == HUB else None
        return self.hub(token) if token else None

    def whoami(self, token: str) -> HubAccount:
        """Asks the Hub whose token it is; see :meth:`HuggingFaceTarget.whoami`."""
        return self._make_hub(token).whoami()

    def hub(self, token: str) -> HuggingFaceTarget:
        """Returns the Hub as a token sees it."""
        key = hashlib.sha256(token.encode()).hexdigest()
        with self._lock:
            if key not in self._hubs:
                self._hubs[key] = self._make_hub(token)
            return self._hubs[key]

    def _make_hub(self, token: str) -> HuggingFaceTarget:
        return HuggingFaceTarget(self._settings.HF_ENDPOINT, token, self._settings.HUB_TIMEOUT, self._work_folder)

    def access(self, realm_id: str) -> HubAccess | None:
        """Returns how a realm reaches the Hub, None if it does not; looked up once for each call of the API."""
        if not has_request_context():
            return self._access(realm_id)
        known: dict[str, HubAccess | None] = g.setdefault("hub_access", {})
        if realm_id not in known:
            known[realm_id] = self._access(realm_id)
        return known[realm_id]

    def _access(self, realm_id: str) -> HubAccess | None:
        credential, shares_default = self._looked_up(realm_id)
        if credential is not None:
            return HubAccess(tuple(credential.namespaces), credential.default_namespace)
        return HubAccess(None, None) if shares_default else None

    def names(self, realm_id: str) -> list[str]:
        """Returns the names of a realm's targets."""
        return [HUB, LOCAL] if self.access(realm_id) is not None else [LOCAL]

    def default(self, realm_id: str) -> str:
        """Returns the name of the target of a request that names none."""
        return self._settings.DEFAULT_TARGET or self.names(realm_id)[0]

    def token(self, realm_id: str) -> str | None:
        """Returns the Hub token that a realm uses, None if it has none.

        Raises:
            UnreadableSecret: it was sealed with a key that is gone.
        """
        credential, shares_default = self._looked_up(realm_id)
        if credential is not None:
            opened = self._vault.decrypt(credential.encrypted_token)
            # Those from before name no realm.
            if opened.get("realm", realm_id) != realm_id:
                raise UnreadableSecret("The Hub token of the realm was stored for another one.", hint="Set it again.")
            return opened["token"]
        return self._settings.HF_TOKEN if shares_default else None

    def _looked_up(self, realm_id: str) -> tuple[HubCredential | None, bool]:
        """Returns the realm's own token, if it has one, and whether it may use the service's own."""
        row = db.session.execute(_ACCESS, {"realm_id": realm_id}).first()
        if row is None:
            return None, False
        return row[0], bool(self._settings.HF_TOKEN) and (row.name == MASTER_REALM or row.share_default_hub)
