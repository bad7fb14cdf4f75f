"""The aggregates that state decides on, over an event log."""

from collections.abc import Sequence
from typing import Any

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Codec
from kernel.events import Stream
from kernel.faults import Unavailable
from services.state.adapters.sequencing import SequencingLog
from services.state.domain.agent import AGENT
from services.state.domain.board import BOARD
from services.state.domain.checkpoints import CHECKPOINTS
from services.state.domain.inbox import INBOX
from services.state.domain.sequenced import placed
from services.state.domain.task import TASK
from services.state.handlers.kept import Kept


def aggregates_over(log: SequencingLog, codec: Codec) -> tuple[Kept, Sequence[HeldAggregates[Any, Any, Any]]]:
    """The aggregates by their names, and all of them together, to be fed by the follower."""
    agents = HeldAggregates(log.decider(AGENT), log, codec)
    tasks = HeldAggregates(log.decider(TASK), log, codec)
    boards = HeldAggregates(log.decider(BOARD), log, codec)
    inboxes = HeldAggregates(log.decider(INBOX), log, codec)
    checkpoints = HeldAggregates(log.decider(CHECKPOINTS), log, codec)
    kept = Kept(agents, tasks, boards, inboxes, checkpoints, LogRecall(log, codec))
    return kept, (agents, tasks, boards, inboxes, checkpoints)


class LogRecall:
    """Implements `services.state.ports.Recall`."""

    def __init__(self, log: SequencingLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec

    async def last_sequence(self) -> int:
        return await self._log.last_sequence()

    async def event(self, stream: Stream, sequence: int) -> object:
        for recorded in await self._log.load(stream):
            if recorded.sequence == sequence:
                event, _ = placed(self._codec.decode(recorded))
                return event
        raise Unavailable("FOLLOWER_BEHIND", f"event {sequence} cannot be found in the log; try again")
