"""Those who arrive together are written together, so that a call shares one fsync with its neighbours.

One group is under way at a time, and whoever comes meanwhile is in the next. Who arrives together is up to `rpc/door`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from chassis.process import new_id, now
from chassis.telemetry import get_logger
from kernel.events import Cause
from kernel.faults import Exhausted, Fault, Unavailable
from services.policy.domain.actor import POLICY

MAX_EVENT_BYTES = 900_000

_log = get_logger("policy.grouping")

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Asked, Answer]):
    """What one caller asks, and about how large it will be in an event; all of it is answered by one."""

    asked: Sequence[Asked]
    cause: Cause
    size_bytes: int
    answered: "asyncio.Future[Answer]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Grouping(Generic[Asked, Answer]):
    """`write` is given one group after the other, none larger than an event; it answers them and never raises."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Waiting[Asked, Answer]]], Awaitable[None]],
    ) -> None:
        self._name = name
        self._write = write
        self._waiting: list[Waiting[Asked, Answer]] = []
        self._flushing: asyncio.Task[None] | None = None

    def add(self, asked: Sequence[Asked], cause: Cause, size_bytes: int) -> "asyncio.Future[Answer]":
        """Have it written, soon. Each caller is answered by itself: one that goes away takes nobody along."""
        waiting: Waiting[Asked, Answer] = Waiting(asked, cause, size_bytes)
        self._waiting.append(waiting)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name=self._name)
        return waiting.answered

    async def idle(self) -> None:
        """Wait until whatever was added has been written."""
        while self._flushing is not None:
            await asyncio.wait({self._flushing})

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await self._write(self._next_group())
        finally:
            self._flushing = None

    def _next_group(self) -> list[Waiting[Asked, Answer]]:
        size_bytes, n = 0, 0
        for waiting in self._waiting:
            size_bytes += waiting.size_bytes
            if n and size_bytes > MAX_EVENT_BYTES:
                break
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group


def require_fits(size_bytes: int) -> None:
    """Raises Exhausted when decisions of so many bytes do not fit into one event."""
    if size_bytes > MAX_EVENT_BYTES:
        text = f"these decisions take about {size_bytes} bytes, an event {MAX_EVENT_BYTES}: ask for fewer at once"
        raise Exhausted("MESSAGE_TOO_LARGE", text, max_bytes=str(MAX_EVENT_BYTES))


def common_cause(tenant: str, group: Sequence[Waiting[Asked, Answer]]) -> Cause:
    """Of one caller what led to it; of several, what they have in common.

    Never a caller's request id: an event that was written for others too is not the answer to it. Nor a caller's time:
    the event is as old as it is, and when each was asked is told in it.
    """
    runs = {each.cause.correlation_id for each in group}
    one = group[0].cause
    causation, traceparent = (one.causation_id, one.traceparent) if len(group) == 1 else ("", "")
    return Cause(
        tenant, new_id(), POLICY, now(), runs.pop() if len(runs) == 1 else "", causation, traceparent
    )


def fail(group: Sequence[Waiting[Asked, Answer]], error: Exception) -> None:
    """Tell all of them that there is nothing to count on, and why if they can do something about it."""
    if not isinstance(error, Fault):
        _log.error("a group was not written", exc_info=error)
    fault = error if isinstance(error, Unavailable | Exhausted) else _not_durable()
    for each in group:
        if not each.answered.done():
            each.answered.set_exception(fault)
            each.answered.exception()  # its caller may have gone; then nobody asks


def _not_durable() -> Unavailable:
    return Unavailable(
        "LOG_UNREACHABLE", "the decision could not be made durable, so there is none: try again"
    )
