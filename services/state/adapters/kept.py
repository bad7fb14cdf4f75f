"""The aggregates that state decides on, over an event log."""

from collections.abc import Sequence
from typing import Any

from chassis.eventlog.aggregates import HeldAggregates
from chassis.eventlog.codec import Codec
from services.state.adapters.sequencing import SequencingLog
from services.state.domain.agent import AGENT
from services.state.domain.task import TASK
from services.state.handlers.kept import Kept


def kept_over(log: SequencingLog, codec: Codec) -> tuple[Kept, Sequence[HeldAggregates[Any, Any, Any]]]:
    """The aggregates by their names, and all of them together, to be fed by the follower."""
    agents = HeldAggregates(log.decider(AGENT), log, codec)
    tasks = HeldAggregates(log.decider(TASK), log, codec)
    return Kept(agents, tasks), (agents, tasks)
