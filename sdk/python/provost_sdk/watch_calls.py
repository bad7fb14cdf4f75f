"""What the client watches of state: what is there, then every change, whatever happens to the connection meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from provost.state.v1 import state_pb2
from provost_sdk.errors import LimitReached, NotNow, Unreachable
from provost_sdk.transport import Connection

if TYPE_CHECKING:
    from provost.state.v1.state_pb2_grpc import StateServiceAsyncStub

QUIET_SECONDS = 45.0
"""A watch says something every ten seconds or so: one that has been quiet for so long is over."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0


class WatchCalls(Connection):
    """The part of the client that watches state. Everything is of the key's own tenant."""

    _state: "StateServiceAsyncStub"

    async def watch_state(
        self,
        *,
        task: str = "",
        agent: str = "",
        cursor: str = "",
        interrupted: Callable[[str], None] | None = None,
    ) -> AsyncIterator[state_pb2.WatchResponse]:
        """What is there, then every change, each whole; of a task, of an agent, or of all. Never ends by itself.

        After a disconnect it goes on behind what it has told, so that nothing is missed and nothing told twice;
        `interrupted` hears why. When more has changed meanwhile than is kept, it begins anew with what is there: an
        answer whose `snapshot_complete` is set ends what there is, and what was not in it is there no more. Answers
        without changes are signs of life.

        Keep the cursor of the last answer to go on later. Reason CURSOR_INVALID: it is the cursor of another filter.
        """
        pause, known = _FIRST_PAUSE_SECONDS, bool(cursor)
        while True:
            heard = False
            request = state_pb2.WatchRequest(task_id=task, agent_id=agent, cursor=cursor)
            once: Any = self._heard(request)
            try:
                async with aclosing(once) as answers:
                    async for answer in answers:
                        heard = known = True
                        yield answer
                        cursor = answer.cursor or cursor
                why = "the watch ended"
            except (Unreachable, LimitReached) as problem:
                if not known:
                    raise  # it never began: nothing was promised yet
                why = f"{problem} ({problem.reason})"
            except NotNow as problem:
                if problem.reason != "CURSOR_EXPIRED":
                    raise
                cursor, why = "", f"{problem} ({problem.reason})"
            pause = _FIRST_PAUSE_SECONDS if heard else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            if interrupted is not None:
                interrupted(why)
            await asyncio.sleep(pause)

    async def _heard(self, request: state_pb2.WatchRequest) -> AsyncIterator[state_pb2.WatchResponse]:
        """One connection. Raises Unreachable also when nothing is heard for too long."""
        answers: Any = self._answers(self._state.Watch, request, None)
        async with aclosing(answers) as watching:
            while True:
                try:
                    async with asyncio.timeout(QUIET_SECONDS):
                        answer = await anext(watching, None)
                except TimeoutError:
                    raise Unreachable(
                        "GATEWAY_UNREACHABLE", f"nothing was heard for {QUIET_SECONDS:g} s"
                    ) from None
                if answer is None:
                    return
                yield answer
