"""Trusted publishers: pipelines that act as a robot without a stored secret.

A pipeline on GitHub, GitLab or elsewhere has an identity token of its platform. If its issuer, subject and claims are
those of a trusted publisher, it is exchanged for an access token of a robot (RFC 8693).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from assembler_runner.accounts import audit, tokens
from assembler_runner.accounts.directory import Robots
from assembler_runner.accounts.identity_tokens import InvalidIdentity, issuer_of, verify
from assembler_runner.accounts.models import Robot
from assembler_runner.accounts.permissions import Account, account_of
from assembler_runner.accounts.resources import Kind, refusal
from assembler_runner.core.database import Base, JsonText, Timestamps, db, id_column
from assembler_runner.core.errors import InvalidCredentials, NotFound
from assembler_runner.core.oidc_settings import problem_of_issuer
from assembler_runner.core.safe_http import IpNetwork
from assembler_runner.core.settings import current_settings

MAX_CLAIMS = 20


class TrustedPublisher(Timestamps, Base):
    """A pipeline whose tokens are exchanged for access tokens of a robot."""

    __tablename__ = "trusted_publishers"
    __table_args__ = (sa.UniqueConstraint("realm_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(64), doc="Name, unique in the realm.")
    robot_id: Mapped[str] = mapped_column(
        sa.ForeignKey("robots.id", ondelete="CASCADE"), index=True, doc="The robot that the pipeline acts as."
    )
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm, that of the robot.")
    issuer: Mapped[str] = mapped_column(sa.String(255), index=True, doc="Address of the issuer of the tokens.")
    subject: Mapped[str | None] = mapped_column(
        sa.String(512), doc="The subject of the tokens; a final * matches any text."
    )
    claims: Mapped[dict[str, Any]] = mapped_column(JsonText, doc="Further claims that the tokens must have.")

    robot: Mapped[Robot] = relationship(lazy="joined")

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Whether a verified token is one of this publisher."""
        subject = str(claims.get("sub"))
        if self.subject is not None:
            prefix, star, _ = self.subject.partition("*")
            if not (subject.startswith(prefix) if star else subject == self.subject):
                return False
        return all(name in claims and _same(claims[name], wanted) for name, wanted in self.claims.items())


class TrustedPublishers(Kind):
    """Trusted publishers; an account that may change a robot may let pipelines act as it."""

    name, model = "trusted publisher", TrustedPublisher
    may_read, may_create, may_update, may_delete = "robot_read", "robot_manage", "robot_manage", "robot_manage"

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`: the caller may change the robot, and not every token of the issuer fits."""
        if row is not None:
            self.check_change(account, row)
        if problem := problem_of_issuer(values.get("issuer", row.issuer if row else ""), _allowed()):
            hint = "Use the claim iss of its tokens."
            raise refusal("invalid_issuer", f"The address of the issuer {problem}.", "issuer", hint)
        if "robot_id" in values:
            robot = self._robot(account, values["robot_id"])
            values["realm_id"] = robot.realm_id
            if row is not None and row.realm_id != robot.realm_id:
                raise refusal("other_realm", "The robot belongs to another realm.", "robot_id", "Use one of the same.")
        subject = values.get("subject", row.subject if row else None)
        claims = values.get("claims", row.claims if row else None) or {}
        if not subject and not claims:
            hint = "Name the subject or claims, such as the repository: else all its pipelines could sign in."
            raise refusal("too_wide", "Neither subject nor claims are given.", "subject", hint)
        values["claims"] = claims
        return values

    def check_change(self, account: Account, row: Any) -> None:
        """See :meth:`Kind.check_change`: the rule is that of the robot."""
        Robots().check_change(account, row.robot)

    def _robot(self, account: Account, robot_id: str) -> Robot:
        try:
            robot: Robot = Robots().find(account, robot_id)
        except NotFound as problem:
            raise refusal("unknown_robot", problem.message, "robot_id", "See GET /auth/robots.") from None
        Robots().check_change(account, robot)
        return robot


def exchange(token: str, robot_id: str | None) -> dict[str, Any]:
    """Exchanges the identity token of a pipeline for an access token of a robot.

    Args:
        token: the token of the pipeline.
        robot_id: the robot, if the token fits publishers of several.
    Returns:
        The response of the token endpoint.
    Raises:
        InvalidCredentials: the token is not valid, or no publisher trusts it.
        InvalidRequest: it fits publishers of several robots.
        IssuerUnavailable: the keys of the issuer cannot be read.
    """
    audience = current_settings().oidc_audience
    issuer = issuer_of(token)
    query = sa.select(TrustedPublisher).where(TrustedPublisher.issuer == issuer)
    if robot_id is not None:
        query = query.where(TrustedPublisher.robot_id == robot_id)
    known = list(db.session.scalars(query)) if issuer is not None else []
    if not known or issuer is None or not audience:
        raise InvalidCredentials("No trusted publisher accepts this token.", hint=_hint(audience))
    # Reading the keys may take seconds: hold no transaction.
    db.session.rollback()
    try:
        claims = verify(token, issuer, audience, _allowed())
    except InvalidIdentity as problem:
        problem.hint = _hint(audience)
        raise
    fitting = [row for row in db.session.scalars(query) if row.fits(claims) and row.robot.active]
    if not fitting:
        raise InvalidCredentials("No trusted publisher accepts this token.", hint=_hint(audience))
    if len({row.robot_id for row in fitting}) > 1:
        message = "Trusted publishers of several robots accept this token."
        raise refusal("several_robots", message, "client_id", "Send the id of the robot as client_id.")
    return _signed_in(fitting[0], claims)


def _signed_in(publisher: TrustedPublisher, claims: Mapping[str, Any]) -> dict[str, Any]:
    robot = publisher.robot
    details = {"publisher": publisher.name, "subject": str(claims["sub"])[:200]}
    audit.record(account_of(robot), "log_in", "session", None, robot.name, robot.realm_id, **details)
    return tokens.begin(robot, "robot") | {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}


def _allowed() -> Sequence[IpNetwork]:
    return current_settings().oidc_allowed_networks


def _hint(audience: str) -> str:
    if not audience:
        return "This service exchanges no tokens: its operator has to set OIDC_AUDIENCE or SERVER_NAME."
    return f"Request the token for the audience {audience}, and compare it with /auth/trusted-publishers."


def _same(found: Any, wanted: Any) -> bool:
    # In Python, True == 1.
    return type(found) is type(wanted) and bool(found == wanted)
