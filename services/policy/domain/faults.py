"""What policy refuses, each fact in its own class; what it refuses of policy sets is in `policyset_faults`, and
of budgets in `budget_faults`."""

from kernel.faults import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)


class AgentUnknown(NotFound):
    def __init__(self, agent_id: str) -> None:
        super().__init__(
            "AGENT_UNKNOWN", f"no agent {agent_id!r} is registered here: register it first", agent_id=agent_id
        )


class AgentAlreadyRegistered(Conflict):
    def __init__(self, agent_id: str, tier: str) -> None:
        text = f"agent {agent_id!r} is registered at {tier} already: choose another id, or ask for that tier"
        super().__init__("AGENT_ALREADY_REGISTERED", text, agent_id=agent_id, tier=tier)


class AgentIsRevoked(Refused):
    def __init__(self, agent_id: str) -> None:
        text = f"agent {agent_id!r} is revoked for good: register another agent"
        super().__init__("AGENT_REVOKED", text, agent_id=agent_id)


class AgentAlreadyRevoked(Refused):
    def __init__(self, agent_id: str) -> None:
        text = (
            f"agent {agent_id!r} is revoked already: provost agents receipt {agent_id} shows what that took"
        )
        super().__init__("AGENT_ALREADY_REVOKED", text, agent_id=agent_id)


class ReceiptUnknown(NotFound):
    def __init__(self, agent_id: str, *, revoked: bool) -> None:
        text = (
            f"agent {agent_id!r} is revoked, and there is no receipt for it: ask again in some seconds"
            if revoked
            else f"agent {agent_id!r} is not revoked: there is nothing to give a receipt for"
        )
        super().__init__("RECEIPT_UNKNOWN", text, agent_id=agent_id)


class CredentialsRefused(Unauthenticated):
    """Says the same whether role, secret or both are wrong."""

    def __init__(self) -> None:
        super().__init__(
            "CREDENTIALS_REFUSED", "role_id and secret_id do not belong together: make a new secret"
        )


class WrappingTokenInvalid(Unauthenticated):
    """Says the same whether it is wrong, expired, or was used before."""

    def __init__(self) -> None:
        text = "the wrapping token is not good, or no longer: if you did not use it, someone else may have"
        super().__init__("WRAPPING_TOKEN_INVALID", text)


class SecretLost(Refused):
    """Its wrapping token was used up, and what came of it could not be noted."""

    def __init__(self, why: str) -> None:
        text = (
            f"the token is used up, and the secret could not be noted ({why}): nobody has it, ask for another"
        )
        super().__init__("WRAPPING_TOKEN_INVALID", text)


class AgentIsSuspended(Refused):
    def __init__(self, agent_id: str) -> None:
        text = f"agent {agent_id!r} is suspended: it gets nothing until somebody resumes it"
        super().__init__("AGENT_SUSPENDED", text, agent_id=agent_id)


class ParentInvalid(Refused):
    """Who would control the agent cannot: `why` says what is wrong with it."""

    def __init__(self, agent_id: str, parent_agent_id: str, why: str) -> None:
        text = f"agent {parent_agent_id!r} cannot control {agent_id!r}: {why}"
        super().__init__("PARENT_INVALID", text, agent_id=agent_id, parent_agent_id=parent_agent_id)


class TierMoved(Conflict):
    def __init__(self, agent_id: str) -> None:
        text = f"agent {agent_id!r} is at another tier since a moment ago: ask again"
        super().__init__("APPEND_CONFLICT", text, agent_id=agent_id)


class TierStepTooLarge(Refused):
    def __init__(self, agent_id: str, tier: str, to_tier: str) -> None:
        text = f"agent {agent_id} is at {tier}: it moves one tier at a time, not to {to_tier}"
        super().__init__("TIER_STEP_TOO_LARGE", text, agent_id=agent_id, tier=tier, to_tier=to_tier)


class TierNotAtOnce(Refused):
    """The highest tier is got by promotion, which people approve."""

    def __init__(self, agent_id: str, tier: str, below: str) -> None:
        text = f"nobody is registered at {tier}: register {agent_id!r} at {below}, and promote it: people approve that"
        super().__init__("TIER_STEP_TOO_LARGE", text, agent_id=agent_id, tier=below, to_tier=tier)


class CrewsAgentTooMuch(Denied):
    """The process of the built-in crew asks for more than its agents are for."""

    def __init__(self, agent_id: str, highest: str) -> None:
        text = (
            f"the built-in crew registers agents at {highest} at most, and under none: "
            f"register {agent_id!r} with an admin's key"
        )
        super().__init__("CALLER_NOT_ALLOWED", text, agent_id=agent_id, tier=highest)


class NotTheCrews(Denied):
    """The process of the built-in crew asks for the secret of an agent that is not its own."""

    def __init__(self, agent_id: str) -> None:
        text = (
            f"agent {agent_id!r} was not registered by the built-in crew, which gets no secret for it: "
            "an admin's key gets one"
        )
        super().__init__("CALLER_NOT_ALLOWED", text, agent_id=agent_id)


class SessionForgotten(Refused):
    def __init__(self) -> None:
        super().__init__(
            "TOKEN_EXPIRED", "the session of this request_id is long past: ask with a new request_id"
        )


class ApprovalUnknown(NotFound):
    def __init__(self, approval_id: str) -> None:
        text = f"there is no approval {approval_id!r}: provost approvals list shows those that wait"
        super().__init__("APPROVAL_UNKNOWN", text, approval_id=approval_id)


class ApprovalClosed(Refused):
    def __init__(self, approval_id: str, state: str) -> None:
        text = f"approval {approval_id} is {state.lower()} already: another run asks anew"
        super().__init__("APPROVAL_CLOSED", text, approval_id=approval_id, state=state)


class ApprovalExpired(Refused):
    def __init__(self, approval_id: str) -> None:
        text = f"approval {approval_id} has expired: another run asks anew"
        super().__init__("APPROVAL_EXPIRED", text, approval_id=approval_id)


class ApprovalPending(Refused):
    def __init__(self, approval_id: str) -> None:
        text = f"approval {approval_id} waits for an answer: an approver must give one"
        super().__init__("APPROVAL_PENDING", text, approval_id=approval_id)


class ApprovalRejected(Refused):
    def __init__(self, approval_id: str, by: str) -> None:
        text = f"approval {approval_id} was rejected by {by}: another run asks anew"
        super().__init__("APPROVAL_REJECTED", text, approval_id=approval_id)


class ChangesRequested(Refused):
    def __init__(self, approval_id: str, by: str) -> None:
        text = f"approval {approval_id} was sent back by {by}, who wants it otherwise: ask anew, for that"
        super().__init__("CHANGES_REQUESTED", text, approval_id=approval_id)


class ApprovalAlreadyUsed(Refused):
    def __init__(self, approval_id: str) -> None:
        text = f"approval {approval_id} was good for one decision and has been used: another run asks anew"
        super().__init__("APPROVAL_USED", text, approval_id=approval_id)


class ApprovalMismatch(Refused):
    """The approval is for another action, run or agent; where that can be told, `given` is what it is for."""

    def __init__(self, approval_id: str, what: str, given: str = "", asked: str = "") -> None:
        text = (
            f"approval {approval_id} is for {what} {given!r}, not for {what} {asked!r}: one of its own is needed"
            if given
            else f"approval {approval_id} was given for another {what}: exactly this needs one of its own"
        )
        super().__init__("DIGEST_MISMATCH", text, approval_id=approval_id, what=what)


class NoYesHelps(Refused):
    """What is to be approved would be refused all the same, for `reason`: people are not asked."""

    def __init__(self, reason: str, explanation: str) -> None:
        super().__init__(reason, f"approval would be of no use: {explanation.removesuffix('.')}")


class DigestMismatch(Invalid):
    def __init__(self, given: str, computed: str) -> None:
        text = "action_digest is not the digest of this action: compute it anew, or leave it empty"
        super().__init__("DIGEST_MISMATCH", text, field="action_digest", given=given, computed=computed)


class SelfApproval(Denied):
    def __init__(self, approval_id: str) -> None:
        text = f"whoever asked for approval {approval_id} may not answer it: another approver must"
        super().__init__("SELF_APPROVAL", text, approval_id=approval_id)


class ApproverNotAPerson(Denied):
    def __init__(self, actor: str) -> None:
        text = f"{actor} is not a person: approvals are answered with an approver's key"
        super().__init__("ROLE_MISSING", text, actor=actor)


class ApproverNotNamed(Denied):
    def __init__(self, approval_id: str, actor: str) -> None:
        text = f"{actor} is none of those who may answer approval {approval_id}: one of them must"
        super().__init__("APPROVER_NOT_NAMED", text, approval_id=approval_id, actor=actor)


class MovedMeanwhile(Unavailable):
    """What a decision rests on has changed as often as it was made, before anybody was given it."""

    def __init__(self, agent_id: str) -> None:
        text = f"the tier, packet or labels of agent {agent_id!r}, or the policy set, have changed meanwhile: try again"
        super().__init__("APPEND_CONFLICT", text, agent_id=agent_id)


class DeciderStale(Unavailable):
    def __init__(self, stale_seconds: float) -> None:
        text = (
            "this replica does not know the newest revocations and decides nothing until it does: try again"
        )
        super().__init__("DECIDER_STALE", text, stale_seconds=f"{stale_seconds:.1f}")
