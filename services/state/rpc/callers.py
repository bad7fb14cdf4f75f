"""Who may ask for what."""

from chassis.rpc.cause import ALL_ROLES, Context, caller_of, cause_of
from kernel.events import Cause
from kernel.faults import Denied

WRITERS = frozenset({"service"})
PEOPLE = frozenset({"operator", "admin"})
READERS = ALL_ROLES
CHECKERS = frozenset({"auditor", "admin", "service"})
MENDERS = frozenset({"admin", "service"})


def admitted(context: Context, roles: frozenset[str], request_id: str = "") -> Cause:
    """The cause of the call, if who makes it has one of `roles`.

    Raises:
        Denied: they have none (reason `ROLE_MISSING`).
    """
    if not roles & caller_of(context).roles:
        needed = ", ".join(sorted(roles))
        raise Denied("ROLE_MISSING", f"this needs one of the roles {needed}", roles=needed)
    return cause_of(context, request_id)
