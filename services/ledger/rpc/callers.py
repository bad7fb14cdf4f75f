"""Who may ask the ledger for what."""

from typing import Any

from chassis.rpc.cause import caller_of
from kernel.faults import Denied

READERS = frozenset({"viewer", "operator", "approver", "auditor", "admin", "service"})
# Verifying and rebuilding look across tenants and cost minutes of a disk; neither shows anyone's events.
KEEPERS = frozenset({"operator", "auditor", "admin", "service"})
REBUILDERS = frozenset({"admin", "service"})
AUDITORS = frozenset({"auditor", "admin"})
MENDERS = frozenset({"admin"})
# Tiles and entries are every tenant's: this one has the shard in its care.
SHARD_KEEPER = "default"


def keep(context: Any, roles: frozenset[str] = AUDITORS) -> None:
    """Let only those through who may see what every tenant has in this shard.

    Raises:
        Denied: no auditor or administrator, or not of the tenant that keeps the shard.
    """
    if tenant_of(context, roles) != SHARD_KEEPER:
        who = " or ".join(sorted(roles))
        text = f"this is about what every tenant has: it needs {who} of tenant {SHARD_KEEPER}"
        raise Denied("TENANT_MISMATCH", text, actor=caller_of(context).actor)


def tenant_of(context: Any, roles: frozenset[str] = READERS) -> str:
    """Whose events the caller may see.

    Raises:
        Denied: it has none of `roles`.
    """
    caller = caller_of(context)
    if not caller.roles & roles:
        raise Denied(
            "ROLE_MISSING", f"this needs one of the roles {', '.join(sorted(roles))}", actor=caller.actor
        )
    return caller.tenant
