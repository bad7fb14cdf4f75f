"""Who may ask the ledger for what."""

from chassis.rpc.cause import ALL_ROLES, Context, admitted
from kernel.faults import Denied

READERS = ALL_ROLES
# Verifying and rebuilding look across tenants and cost minutes of a disk; neither shows anyone's events.
KEEPERS = frozenset({"operator", "auditor", "admin", "service"})
REBUILDERS = frozenset({"admin", "service"})
AUDITORS = frozenset({"auditor", "admin"})
MENDERS = frozenset({"admin"})
# Tiles and entries are every tenant's: this one has the shard in its care.
SHARD_KEEPER = "default"


def admit_keeper(context: Context, roles: frozenset[str] = AUDITORS) -> None:
    """Let only those through who may see what every tenant has in this shard.

    Raises:
        Denied: no auditor or administrator, or not of the tenant that keeps the shard.
    """
    caller = admitted(context, roles)
    if caller.tenant != SHARD_KEEPER:
        who = " or ".join(sorted(roles))
        text = f"this is about what every tenant has: it needs {who} of tenant {SHARD_KEEPER}"
        raise Denied("TENANT_MISMATCH", text, actor=caller.actor)
