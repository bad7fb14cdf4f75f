"""Who calls, if he may."""

from chassis.rpc.cause import Caller, Context, caller_of
from services.policy.rpc.roles import allowed


def admitted(context: Context, method: str) -> Caller:
    """The caller, if one of its roles may call `method`.

    Raises:
        Denied: reason `ROLE_MISSING`.
    """
    return allowed(caller_of(context), method)
