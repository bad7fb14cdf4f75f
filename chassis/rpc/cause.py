"""Who asked, for whom and why, as it travels in gRPC metadata between our processes.

The gateway sets these from the key it has checked; nobody believes a client's own word for them, because only calls
that bear the internal key get here.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import grpc.aio

from chassis import process, tracing
from kernel.events import Cause, require_token
from kernel.faults import Denied, Invalid

TENANT = "x-provost-tenant"
ACTOR = "x-provost-actor"
ROLES = "x-provost-roles"
CORRELATION = "x-provost-correlation"
CAUSATION = "x-provost-causation"
REQUEST = "x-provost-request"
"""The id of a call whose request names none, so that it is the same call when it is sent again on its way."""
TRACEPARENT = "traceparent"
INTERNAL_KEY = "x-provost-internal"

ALL_ROLES = frozenset({"viewer", "operator", "approver", "auditor", "admin", "service"})

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata = tuple[tuple[str, str], ...]

_read: ContextVar[tuple[Context, dict[str, str]] | None] = ContextVar("call metadata", default=None)
_ACTOR = re.compile(r"(key|agent|service):[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made, and what they may."""

    tenant: str
    actor: str
    roles: frozenset[str]


def cause_of(context: Context, request_id: str = "") -> Cause:
    """The cause this call carries, at this moment; an empty `request_id` is what the metadata says or, without, made up
    (and then repeats nothing).

    Raises:
        Invalid: tenant, actor, correlation, causation or `request_id` is missing or malformed.
    """
    metadata = read_metadata(context)
    tenant, actor = metadata.get(TENANT, ""), metadata.get(ACTOR, "")
    correlation, causation = metadata.get(CORRELATION, ""), metadata.get(CAUSATION, "")
    _require(tenant, actor, correlation, causation)
    request_id = request_id or metadata.get(REQUEST, "")
    return Cause(
        tenant=tenant,
        request_id=require_token(request_id, "request_id") if request_id else process.new_id(),
        actor=actor,
        at=process.now(),
        correlation_id=correlation,
        causation_id=causation,
        traceparent=tracing.current_traceparent() or _traceparent(metadata.get(TRACEPARENT, "")),
    )


def caller_of(context: Context) -> Caller:
    """On whose behalf this call is made. Roles nobody knows grant nothing.

    Raises:
        Invalid: tenant or actor is missing or malformed.
    """
    metadata = read_metadata(context)
    return _caller(metadata.get(TENANT, ""), metadata.get(ACTOR, ""), metadata.get(ROLES, ""))


def admitted(context: Context, roles: frozenset[str]) -> Caller:
    """On whose behalf this call is made, if that is somebody with one of `roles`.

    Raises:
        Denied: they have none (reason `ROLE_MISSING`).
        Invalid: tenant or actor is missing or malformed.
    """
    caller = caller_of(context)
    if not caller.roles & roles:
        needed = ", ".join(sorted(roles))
        text = f"this needs one of the roles {needed}"
        raise Denied("ROLE_MISSING", text, roles=needed, actor=caller.actor)
    return caller


# Few call, and often: who they are is looked at once. What is refused is not remembered.
@lru_cache(maxsize=1024)
def _caller(tenant: str, actor: str, roles: str) -> Caller:
    return Caller(
        tenant=require_token(tenant, TENANT),
        actor=_require_actor(actor),
        roles=ALL_ROLES.intersection(roles.split(",")),
    )


@lru_cache(maxsize=4096)
def _require(tenant: str, actor: str, correlation: str, causation: str) -> None:
    if correlation:
        require_token(correlation, CORRELATION)
    if causation:
        require_token(causation, CAUSATION)
    require_token(tenant, TENANT)
    _require_actor(actor)


def metadata_of(cause: Cause, roles: Iterable[str] = ("service",)) -> Metadata:
    """The metadata that carries `cause` on an outgoing call."""
    carried = (
        (TENANT, cause.tenant),
        (ACTOR, _require_actor(cause.actor)),
        (ROLES, ",".join(roles)),
        (CORRELATION, cause.correlation_id),
        (CAUSATION, cause.causation_id),
        (TRACEPARENT, tracing.current_traceparent() or cause.traceparent),
    )
    return tuple(pair for pair in carried if pair[1])


def read_metadata(context: Context) -> dict[str, str]:
    """The text metadata of a call, decoded once: whoever asks again in the same task gets the same."""
    known = _read.get()
    if known is not None and known[0] is context:
        return known[1]
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    _read.set((context, metadata))
    return metadata


def _require_actor(actor: str) -> str:
    if _ACTOR.fullmatch(actor) is None:
        raise Invalid(
            "MALFORMED_ID", f"{ACTOR} must be key:…, agent:… or service:… in plain ASCII", field=ACTOR
        )
    return actor


def _traceparent(value: str) -> str:
    # W3C Trace Context: one that cannot be read is dropped, not refused.
    return value if _TRACEPARENT.fullmatch(value) else ""
