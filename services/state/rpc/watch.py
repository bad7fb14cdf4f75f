"""Watches over gRPC: bytes are passed on as they are, and who does not read is let go with a cursor."""

import asyncio
from typing import Any

from chassis.rpc.cause import Context, caller_of
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.faults import WatchInterrupted, WatchTooSlow
from services.state.domain.task import SEALED
from services.state.domain.watching import interest
from services.state.handlers import State
from services.state.handlers.watching import Watching
from services.state.rpc.callers import READERS, cause_for
from services.state.rpc.stale import staleness

READ_SECONDS = 60.0
"""Who reads nothing for so long is let go."""


class WatchRpc(StateServiceServicer):
    """What is there, then every change."""

    _state: State
    _watching: Watching
    read_seconds = READ_SECONDS

    # Written rather than yielded, so that whoever does not read is noticed.
    async def Watch(self, request: pb.WatchRequest, context: Context) -> None:  # type: ignore[override]
        cause_for(context, READERS)
        wanted = interest(caller_of(context).tenant, request.task_id, request.agent_id)
        watch = await self._watching.watch(wanted, request.cursor)
        try:
            # With a first answer that is never read it would be under way for ever, and no status could be sent.
            await context.send_initial_metadata(staleness(self._state.following))
            while True:
                answer: Any = await watch.next()
                if SEALED in answer:  # for whoever may see it opened, it has to be taken apart
                    answer = pb.WatchResponse.FromString(answer)
                async with asyncio.timeout(self.read_seconds) as patience:
                    await context.write(answer)
        except TimeoutError:
            if not patience.expired():
                raise
            raise WatchTooSlow(watch.cursor) from None
        except asyncio.CancelledError:
            if context.done():
                raise
            raise WatchInterrupted(watch.cursor) from None
        finally:
            watch.close()
