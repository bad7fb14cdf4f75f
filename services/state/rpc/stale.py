"""Reads say so when what they tell may be old: from memory they are answered without the log, too."""

from collections.abc import Awaitable, Callable
from typing import Any

from chassis.rpc.cause import Context, Metadata
from kernel.ports import Following
from provost.state.v1.state_pb2 import DESCRIPTOR
from services.state.domain.bounds import STALE_SECONDS

STALE = "provost-stale-seconds"
"""Metadata of an answer: for how many whole seconds who answered has not been at the end of the log."""
READS = tuple(
    method.name
    for method in DESCRIPTOR.services_by_name["StateService"].methods
    if method.name.startswith(("Get", "List"))
)


def staleness(following: Following) -> Metadata:
    """What is said with an answer of this moment: nothing, unless it may be old."""
    seconds = following.stale_seconds
    return ((STALE, str(int(seconds))),) if seconds > STALE_SECONDS else ()


def saying(read: Callable[[Any, Context], Awaitable[Any]], following: Following) -> Callable[..., Any]:
    """`read`, saying so in trailing metadata, also when it is refused: what it does not find may be there by now."""

    async def said(request: Any, context: Context) -> Any:
        try:
            return await read(request, context)
        finally:
            if stale := staleness(following):
                context.set_trailing_metadata(stale)

    return said
