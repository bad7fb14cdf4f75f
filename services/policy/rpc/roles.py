"""Who may call what. Whatever is not in the table may be called by nobody; None asks for no role."""

from types import MappingProxyType
from typing import Final

from chassis.rpc.cause import ALL_ROLES, Caller
from kernel.faults import Denied

EVERYONE: Final = ALL_ROLES

ROLES: Final = MappingProxyType(
    {
        "RegisterAgent": frozenset({"admin", "service"}),
        "GetAgent": EVERYONE,
        "ListAgents": EVERYONE,
        "CreateSecret": frozenset({"admin", "service"}),
        "CreateSession": None,  # whoever knows the secret
        "RevokeAgent": frozenset({"operator", "approver", "admin", "service"}),
        # An agent comes with an operator's key, and its session token says who it is.
        "Authorize": frozenset({"operator", "admin", "service"}),
        "BatchAuthorize": frozenset({"operator", "admin", "service"}),
        "RequestApproval": frozenset({"service"}),
        "AnswerApproval": frozenset({"approver", "admin"}),
        "GetApproval": EVERYONE,
        "ListApprovals": EVERYONE,
        "GetPolicySet": EVERYONE,
        "PublishPolicySet": frozenset({"admin", "service"}),
        "ListSigningKeys": EVERYONE,
        "UnwrapSecret": None,  # whoever has the token
        "GetRevocationReceipt": EVERYONE,
        "SuspendAgent": frozenset({"operator", "approver", "admin", "service"}),
        "ResumeAgent": frozenset({"admin"}),
        "PromoteAgent": frozenset({"admin"}),
        "DemoteAgent": frozenset({"operator", "admin"}),
        "StreamAuthorize": frozenset({"operator", "admin", "service"}),
        "Explain": EVERYONE,
        "ListPolicySets": EVERYONE,
        "GetPolicySetSchema": EVERYONE,
        "ValidatePolicySet": EVERYONE,
        "DiffPolicySets": EVERYONE,
        "RollbackPolicySet": frozenset({"admin"}),
        "SimulatePolicySet": frozenset({"operator", "auditor", "admin"}),
        "SetBudget": frozenset({"admin"}),
        "ListBudgets": EVERYONE,
        "ReserveBudget": frozenset({"operator", "admin", "service"}),
        "SettleReservation": frozenset({"operator", "admin", "service"}),
    }
)


def allowed(caller: Caller, method: str) -> Caller:
    """`caller`, if one of its roles may call `method`.

    Raises:
        Denied: reason `ROLE_MISSING`; the text names the roles that may.
    """
    may = ROLES.get(method, frozenset())
    if may is not None and may.isdisjoint(caller.roles):
        text = f"{method} needs one of the roles {', '.join(sorted(may))}: ask with a key that has one"
        raise Denied("ROLE_MISSING", text, method=method, actor=caller.actor)
    return caller
