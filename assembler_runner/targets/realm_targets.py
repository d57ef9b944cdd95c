"""The targets of a realm and the token it uses.

A realm's own Hub token takes precedence. Without one, `master` and the realms that an administrator allows to share it
use the token of the service (HF_TOKEN). All other realms have the local target only.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import g, has_request_context

from assembler_runner.accounts import hub_tokens
from assembler_runner.accounts.models import HubCredential, Realm
from assembler_runner.accounts.permissions import MASTER_REALM
from assembler_runner.core.database import db
from assembler_runner.core.loops import Loop, OnDemand
from assembler_runner.core.settings import Settings
from assembler_runner.core.vault import UnreadableSecret, Vault
from assembler_runner.targets import Target
from assembler_runner.targets.flame.target import FlameTarget
from assembler_runner.targets.hub.account import HubAccount
from assembler_runner.targets.hub.metrics import known_budget
from assembler_runner.targets.hub.target import HuggingFaceTarget
from assembler_runner.targets.hub.token_owner import PERSON, REALM, SERVICE, TokenOwner
from assembler_runner.targets.local.target import LocalTarget

LOCAL, HUB, FLAME = "local", "huggingface", "flame"

# Prebuilt: constructing these statements costs more than executing them.
_ACCESS = (
    sa.select(HubCredential, Realm.name, Realm.share_default_hub)
    .select_from(Realm)
    .outerjoin(HubCredential, HubCredential.realm_id == Realm.id)
    .where(Realm.id == sa.bindparam("realm_id", type_=sa.String))
)
_REALMS: Any = Realm.__table__
_CREDENTIALS: Any = HubCredential.__table__
# Only what a worker needs for each request.
_TOKEN = (
    sa.select(_CREDENTIALS.c.encrypted_token, _REALMS.c.name, _REALMS.c.share_default_hub)
    .select_from(_REALMS.outerjoin(_CREDENTIALS, _CREDENTIALS.c.realm_id == _REALMS.c.id))
    .where(_REALMS.c.id == sa.bindparam("realm_id", type_=sa.String))
)


LEARN_SECONDS = 15.0
"""How often the Hub is asked whose token HF_TOKEN is, until it answers."""


@dataclass(frozen=True)
class HubAccess:
    """The access of a realm to the Hub.

    Args:
        namespaces: the namespaces it may publish to; None for all that the token may write to.
        default_namespace: the namespace of requests without one; None for the token's own account.
    """

    namespaces: tuple[str, ...] | None
    default_namespace: str | None


class RealmTargets:
    """The targets of all realms; one target per token is created and reused.

    Args:
        settings: the settings: URL of the Hub, token of the service, default target.
        local: the local target, which all realms have.
        vault: decrypts the tokens of realms.
        work_folder: the folder for copies of large files during an upload.
    """

    def __init__(self, settings: Settings, local: LocalTarget, vault: Vault, work_folder: Path) -> None:
        self._settings, self.local, self._vault, self._work_folder = settings, local, vault, work_folder
        self._hubs: dict[str, HuggingFaceTarget] = {}
        self._people: dict[str, tuple[str, HuggingFaceTarget]] = {}
        self._own: HubAccount | None = None
        self._flame = FlameTarget(settings) if settings.FLAME_CORE_URL else None
        self._learning = OnDemand(lambda: Loop("account", LEARN_SECONDS, self._learn))
        self._lock = threading.Lock()

    def find(self, realm_id: str, name: str, publisher_id: str | None = None) -> Target | None:
        """Returns the target of that name for a realm.

        Args:
            realm_id: the realm.
            name: local or huggingface.
            publisher_id: the person whose own Hub token is used; no transaction must be open then. None: the realm's.
        Returns:
            The target; None if the realm does not have it.
        Raises:
            UnreadableSecret: the token was encrypted with a key that is no longer known.
            SignInAgain: there is no usable token of the person.
            IssuerUnavailable: the token of the person has expired, and the Hub does not answer.
        """
        if name == LOCAL:
            return self.local
        if publisher_id is not None:
            return self._hub_of_person(publisher_id)
        if name == FLAME:
            return self._flame if self._flame is not None and self._is_master(realm_id) else None
        token, owner = self._token_of(realm_id) if name == HUB else (None, SERVICE)
        return self.hub(token, owner) if token else None

    def whoami(self, token: str) -> HubAccount:
        """Queries the Hub for the account of a token; see :meth:`HuggingFaceTarget.whoami`."""
        return self._make_hub(token).whoami()

    def hub(self, token: str, owner: TokenOwner = SERVICE) -> HuggingFaceTarget:
        """Returns the Hub target of a token.

        Args:
            token: the token.
            owner: whose token it is, for messages.
        """
        key = hashlib.sha256(f"{owner.said}\n{token}".encode()).hexdigest()
        with self._lock:
            if key not in self._hubs:
                self._hubs[key] = self._make_hub(token, owner)
            return self._hubs[key]

    def _hub_of_person(self, user_id: str) -> HuggingFaceTarget:
        token = hub_tokens.opened(self._vault, user_id)
        with self._lock:
            known = self._people.get(user_id)
            if known is None or known[0] != token:
                # Each sign-in gives a new token: the target of the last one is not needed any more.
                known = self._people[user_id] = (token, self._make_hub(token, PERSON))
            return known[1]

    def _make_hub(self, token: str, owner: TokenOwner = SERVICE) -> HuggingFaceTarget:
        settings = self._settings
        return HuggingFaceTarget(settings.HF_ENDPOINT, token, settings.HUB_TIMEOUT, self._work_folder, owner)

    def access(self, realm_id: str) -> HubAccess | None:
        """Returns the access of a realm to the Hub, or None; queried once for each call of the API."""
        if not has_request_context():
            return self._access(realm_id)
        known: dict[str, HubAccess | None] = g.setdefault("hub_access", {})
        if realm_id not in known:
            known[realm_id] = self._access(realm_id)
        return known[realm_id]

    def _access(self, realm_id: str) -> HubAccess | None:
        credential, shares_default = self._credential(realm_id)
        if credential is not None:
            return HubAccess(tuple(credential.namespaces), credential.default_namespace)
        return HubAccess(None, None) if shares_default else None

    def learn_account(self) -> None:
        """Asks the Hub in the background whose token HF_TOKEN is, until it answers."""
        if self._settings.HF_TOKEN:
            self._learning.ensure()

    def _learn(self) -> None:
        self._own = self.whoami(str(self._settings.HF_TOKEN))
        self._learning.stop()

    def account(self, realm_id: str) -> HubAccount | None:
        """Returns the account whose token a realm uses, as last learned; None if it is not known."""
        credential, shares_default = self._credential(realm_id)
        if credential is not None:
            orgs = {org["name"]: org["role"] for org in credential.orgs}
            return HubAccount(credential.account_name, credential.plan, credential.role, orgs)
        return self._own if shares_default else None

    def calls_left(self, realm_id: str) -> int | None:
        """Returns how many calls the Hub has last granted the token of a realm; None if it is not known."""
        try:
            token = self.token(realm_id)
        except UnreadableSecret:
            return None
        return known_budget(token) if token else None

    def own_namespace(self, realm_id: str) -> str | None:
        """Returns the namespace of the Hub that a realm publishes to without a choice; None if it is not known yet."""
        access = self.access(realm_id)
        if access is None or access.default_namespace is not None:
            return access.default_namespace if access else None
        return self._own.name if self._own else None

    def url_of(self, target: str, namespace: str | None, name: str) -> str | None:
        """Returns the address that a Space will have.

        Args:
            target: local or huggingface.
            namespace: its namespace; None if it is not known yet.
            name: its name.
        Returns:
            The address, of the target local without the host; None without a namespace.
        """
        if namespace is None:
            return None
        if target == LOCAL:
            return f"/local/{namespace}/{name}"
        if target == FLAME:
            # Where the list of analyses shows it; its own address has an id that the FLAME Hub chooses.
            return f"{self._settings.FLAME_CORE_URL.rstrip('/')}/analyses?filter[name]={name}"
        return f"{self._settings.HF_ENDPOINT.rstrip('/')}/spaces/{namespace}/{name}"

    def names(self, realm_id: str) -> list[str]:
        """Returns the names of a realm's targets."""
        names = [HUB, LOCAL] if self.access(realm_id) is not None else [LOCAL]
        return [*names, FLAME] if self._flame is not None and self._is_master(realm_id) else names

    def default(self, realm_id: str) -> str:
        """Returns the name of the target for requests without one."""
        return self._settings.DEFAULT_TARGET or self.names(realm_id)[0]

    def tokens(self, realm_id: str, publisher_id: str | None) -> list[str]:
        """Returns all Hub tokens that could be in the output of a Space, for redaction.

        Args:
            realm_id: the realm of the Space.
            publisher_id: the person whose own Hub token publishes it, or None.
        Raises:
            UnreadableSecret: a token was encrypted with a key that is no longer known.
        """
        own = hub_tokens.known(self._vault, publisher_id) if publisher_id is not None else []
        return [*own, *filter(None, (self.token(realm_id),))]

    def token(self, realm_id: str) -> str | None:
        """Returns the Hub token that a realm uses, or None.

        Raises:
            UnreadableSecret: the token was encrypted with a key that is no longer known.
        """
        return self._token_of(realm_id)[0]

    def _token_of(self, realm_id: str) -> tuple[str | None, TokenOwner]:
        row = db.session().connection().execute(_TOKEN, {"realm_id": realm_id}).first()
        if row is None:
            return None, SERVICE
        if row.encrypted_token is not None:
            opened = self._vault.decrypt(row.encrypted_token)
            # Those from before name no realm.
            if opened.get("realm", realm_id) != realm_id:
                raise UnreadableSecret("The Hub token of the realm was stored for another one.", hint="Set it again.")
            return opened["token"], REALM
        return (self._settings.HF_TOKEN if self._shares_default(row) else None), SERVICE

    def _is_master(self, realm_id: str) -> bool:
        """Returns whether a realm is `master`, whose account the FLAME Hub is."""
        return db.session.scalar(sa.select(Realm.name).where(Realm.id == realm_id)) == MASTER_REALM

    def _credential(self, realm_id: str) -> tuple[HubCredential | None, bool]:
        """Returns the realm's own credential or None, and whether it may use the token of the service."""
        row = db.session.execute(_ACCESS, {"realm_id": realm_id}).first()
        if row is None:
            return None, False
        return row[0], self._shares_default(row)

    def _shares_default(self, realm: Any) -> bool:
        return bool(self._settings.HF_TOKEN) and (realm.name == MASTER_REALM or realm.share_default_hub)
