"""Tokens of the calling person, and pipelines that sign in without a stored secret."""

from __future__ import annotations

from typing import Unpack

from assembler_client.inputs import PersonalTokenFields, TrustedPublisherChanges, TrustedPublisherFields
from assembler_client.models.tokens import PersonalToken, TrustedPublisher
from assembler_client.sansio.calls import create, delete, getting, listing, update
from assembler_client.sansio.steps import Call, Flow, method
from assembler_client.types import Ref


class TokenCalls:
    """Methods for /auth/tokens and /auth/trusted-publishers, synchronous and asynchronous."""

    get_trusted_publisher = getting("/auth/trusted-publishers", TrustedPublisher)
    get_trusted_publishers = listing("/auth/trusted-publishers", TrustedPublisher)

    @method
    def create_trusted_publisher(self, **fields: Unpack[TrustedPublisherFields]) -> Call[TrustedPublisher]:
        """Lets a pipeline act as a robot; `name`, `robot_id`, `issuer` and `subject` or `claims` are required."""
        return create("/auth/trusted-publishers", TrustedPublisherFields, fields, TrustedPublisher)

    @method
    def update_trusted_publisher(self, ref: Ref, **fields: Unpack[TrustedPublisherChanges]) -> Call[TrustedPublisher]:
        """Updates the given fields of a trusted publisher."""
        return update("/auth/trusted-publishers", ref, TrustedPublisherChanges, fields, TrustedPublisher)

    @method
    def delete_trusted_publisher(self, ref: Ref) -> Flow[None]:
        """Deletes a trusted publisher."""
        return delete("/auth/trusted-publishers", ref)

    get_personal_token = getting("/auth/tokens", PersonalToken)
    get_personal_tokens = listing("/auth/tokens", PersonalToken)

    @method
    def create_personal_token(self, **fields: Unpack[PersonalTokenFields]) -> Call[PersonalToken]:
        """Creates a token that acts for the calling person; only this answer contains the token itself."""
        return create("/auth/tokens", PersonalTokenFields, fields, PersonalToken)

    @method
    def delete_personal_token(self, ref: Ref) -> Flow[None]:
        """Deletes an own token, which ends it at once."""
        return delete("/auth/tokens", ref)
