"""Who may ask for what."""

import re

from chassis.rpc.cause import ALL_ROLES, Context, admitted, caller_of, cause_of
from kernel.events import Cause
from services.state.domain.bounds import MAX_AGENT_ID_CHARACTERS
from services.state.domain.faults import FieldInvalid
from services.state.handlers import Reader

WRITERS = frozenset({"service"})
PEOPLE = frozenset({"operator", "admin"})
READERS = ALL_ROLES
CHECKERS = frozenset({"auditor", "admin", "service"})
MENDERS = frozenset({"admin", "service"})


def cause_for(context: Context, roles: frozenset[str], request_id: str = "") -> Cause:
    """The cause of the call, if who makes it has one of `roles`. Raises Denied (reason `ROLE_MISSING`)."""
    admitted(context, roles)
    return cause_of(context, request_id)


def author_of(context: Context, agent_id: str, field: str, request_id: str) -> tuple[Cause, str, bool]:
    """The cause, in whose name it is written, and whether that is a person: agents write through a service.

    Raises:
        Denied: neither a service nor a person who may.
        Invalid: a person names an agent, in whose name it may not write.
    """
    cause, person = written_by(context, request_id)
    if not person:
        return cause, agent_id, False
    if agent_id:
        raise FieldInvalid(field, "must be empty: a person writes in its own name")
    # As `key-boss`: no agent is called so (`packet.PEOPLE`).
    name = re.sub(r"[^A-Za-z0-9_-]", "-", cause.actor)
    return cause, name[:MAX_AGENT_ID_CHARACTERS], True


def written_by(context: Context, request_id: str) -> tuple[Cause, bool]:
    """The cause, and whether it is a person who writes, and no service for an agent.

    Raises:
        Denied: neither a service nor a person who may.
    """
    cause = cause_for(context, WRITERS | PEOPLE, request_id)
    return cause, not WRITERS & caller_of(context).roles


def reader_of(agent_id: str, run_id: str) -> Reader | None:
    """Whoever says that it is an agent that reads has to say which run, and takes on the labels."""
    return Reader(agent_id, run_id) if agent_id or run_id else None
