"""Whose power is used: what the session token has to say before anything is done in an agent's name."""

from datetime import datetime

from kernel.faults import Fault, Unauthenticated
from services.policy.ports.signing import Signer


def token_refusal(
    signer: Signer, token: str, tenant: str, agent_id: str, at: datetime, *, trusted: bool
) -> Fault | None:
    """Why the caller may not speak for `agent_id`; those who are `trusted` may without a token."""
    if not token:
        if trusted:
            return None
        return Unauthenticated("TOKEN_MISSING", "an agent must show its session token: create a session")
    try:
        bearer = signer.bearer_of(token, at)
    except Unauthenticated as fault:
        return fault
    if bearer.tenant != tenant:
        return Unauthenticated(
            "TENANT_MISMATCH", "the session token is another tenant's: call with a key of that tenant"
        )
    if agent_id not in ("", bearer.agent_id):
        return Unauthenticated("TOKEN_INVALID", "the session token is another agent's: create a session")
    return None
