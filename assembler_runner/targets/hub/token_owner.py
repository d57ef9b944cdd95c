"""Whose Hub token a call uses, for messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenOwner:
    """Whose token a call uses, for messages.

    Args:
        said_of: the token, as the subject of a sentence.
        said: the token inside of a sentence.
        hint: who can replace it, and how.
    """

    said_of: str
    said: str
    hint: str


SERVICE = TokenOwner(
    "The service's token (HF_TOKEN)",
    "the service's token (HF_TOKEN)",
    "The operator has to set HF_TOKEN to a token with write access; or set a Hub token of the realm "
    "(PUT /auth/realms/{id}/hub-credential).",
)
PERSON = TokenOwner(
    "The Hub token of the person",
    "the Hub token of the person",
    "The person has to sign in with Hugging Face again, and grant what is asked for; then retry the request.",
)
REALM = TokenOwner(
    "The Hub token of the realm",
    "the Hub token of the realm",
    "Set a new token of the realm with write access: PUT /auth/realms/{id}/hub-credential.",
)
