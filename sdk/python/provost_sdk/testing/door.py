"""Who may ask a double for what, and how it refuses: as Provost's own front does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

Context = grpc.aio.ServicerContext[Any, Any]
ROLES = ("viewer", "operator", "approver", "admin")
_MAY: Mapping[str, frozenset[str]] = {
    "viewer": frozenset(ROLES),
    "operator": frozenset({"operator", "admin"}),
    "approver": frozenset({"approver", "admin"}),
    "admin": frozenset({"admin"}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    role: str
    tenant: str = "default"


async def refuse(context: Context, code: grpc.StatusCode, reason: str, text: str) -> NoReturn:
    """End the call with a reason that clients can read."""
    info = AnyMessage()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="provost"))
    details = status_pb2.Status(code=code.value[0], message=text, details=[info])
    await context.abort(code, text, (("grpc-status-details-bin", details.SerializeToString()),))


async def admitted(context: Context, callers: Mapping[str, Caller], role: str) -> Caller:
    """Who calls, if they may: `role` is what the call needs."""
    metadata = dict(context.invocation_metadata() or ())
    key = str(metadata.get("x-api-key", ""))
    if not key:
        await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "KEY_MISSING", "an API key is needed")
    if key not in callers:
        await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "KEY_UNKNOWN", "this API key is unknown")
    caller = callers[key]
    if caller.role not in _MAY[role]:
        await refuse(
            context, grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING", f"this needs the role {role}"
        )
    return caller
