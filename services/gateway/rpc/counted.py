"""How the calls that were let in end, counted by tenant."""

import asyncio
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from chassis import metrics
from chassis.rpc.faults import code_of
from kernel.faults import Fault

_Code = grpc.StatusCode
_FAILED = frozenset(
    {_Code.UNAVAILABLE, _Code.INTERNAL, _Code.UNKNOWN, _Code.DATA_LOSS, _Code.DEADLINE_EXCEEDED}
)


class Counted:
    """Around the work of one call: `ok`, `refused`, `failed` (not the caller's doing), or `cancelled` by the caller."""

    def __init__(self, tenant: str, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        self._tenant = tenant
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        metrics.TENANT_REQUESTS.labels(self._tenant, self._outcome(error)).inc()

    def _outcome(self, error: BaseException | None) -> str:
        match error:
            case None:
                return "ok"
            case asyncio.CancelledError() | GeneratorExit():
                return "cancelled"
            case grpc.aio.AbortError():
                code = self._context.code()
            case Fault():
                code = code_of(error)
            case _:
                return "failed"
        if code is _Code.CANCELLED:
            return "cancelled"
        return "failed" if code in _FAILED else "refused"
