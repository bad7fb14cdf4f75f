"""Session tokens and permits, signed with policy's own key; and the digest that binds a permit to an action."""

from base64 import urlsafe_b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from chassis.digest import action_digest as digest_of
from chassis.signing import SigningKey, Verifier, public_key
from kernel.faults import Unauthenticated
from services.policy.domain.action import Action
from services.policy.domain.tier import Tier
from services.policy.ports import Permit, Session

ISSUER = "provost/policy"
SESSIONS = "provost"
PERMITS = "actuator"


class FileSigner:
    """Implements `Signer` with a key in a file, made on first use."""

    def __init__(self, path: Path) -> None:
        self._key = SigningKey.load_or_create(path)
        self._verifier = Verifier({self._key.kid: public_key(self._key.public_jwk())})

    def sign_session(self, session: Session) -> str:
        return self._key.sign(
            {
                "iss": ISSUER,
                "aud": SESSIONS,
                "sub": session.agent_id,
                "jti": session.session_id,
                "iat": int(session.issue_time.timestamp()),
                "nbf": int(session.issue_time.timestamp()),
                "exp": int(session.expire_time.timestamp()),
                "agent_id": session.agent_id,
                "tenant": session.tenant,
                "tier": session.tier.value,
            }
        )

    def sign_permit(self, permit: Permit) -> str:
        return self._key.sign(
            {
                "iss": ISSUER,
                "aud": PERMITS,
                "sub": permit.agent_id,
                "jti": permit.decision_id,
                "iat": int(permit.issue_time.timestamp()),
                "nbf": int(permit.issue_time.timestamp()),
                "exp": int(permit.expire_time.timestamp()),
                "decision_id": permit.decision_id,
                "action_digest": permit.action_digest,
                "agent_id": permit.agent_id,
                "tenant": permit.tenant,
                "run_id": permit.run_id,
                "task_id": permit.task_id,
                "fencing_token": permit.fencing_token,
            }
        )

    def session_of(self, token: str, at: datetime) -> Session:
        claims = self._verifier.verify(token, SESSIONS, at)
        try:
            return Session(
                str(claims["jti"]),
                str(claims["tenant"]),
                str(claims["agent_id"]),
                Tier(claims["tier"]),
                datetime.fromtimestamp(claims["iat"], UTC),
                datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (KeyError, ValueError, OverflowError):
            raise Unauthenticated("TOKEN_INVALID", "the token was refused: it is no session token") from None

    def public_keys(self) -> Sequence[tuple[str, bytes]]:
        x = self._key.public_jwk()["x"]
        return ((self._key.kid, urlsafe_b64decode(x + "=" * (-len(x) % 4))),)


def action_digest(action: Action) -> str:
    """`sha256:<hex>` over the RFC 8785 form of what is to be done, and of nothing else."""
    return digest_of(action.name, action.target, action.environment, action.parameters)
