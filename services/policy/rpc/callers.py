"""Who calls, if he may."""

from typing import Any, TypeAlias

import grpc.aio

from chassis.rpc.cause import Caller, caller_of
from services.policy.rpc.roles import allowed

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def admitted(context: Context, method: str) -> Caller:
    """The caller, if one of its roles may call `method`.

    Raises:
        Denied: reason `ROLE_MISSING`.
    """
    return allowed(caller_of(context), method)
