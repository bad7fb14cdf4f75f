"""Unwrap, ask, wrap: state over gRPC. Who may ask for what stands in `callers`: reports of a run need
the role service, people with a role that is enough write to boards and inboxes, too, and every known role may read.
"""

from services.state.handlers import State
from services.state.handlers.watching import Watching
from services.state.rpc.agents import AgentsRpc
from services.state.rpc.attention import AttentionRpc
from services.state.rpc.boards import BoardsRpc
from services.state.rpc.checkpoints import CheckpointsRpc
from services.state.rpc.inboxes import InboxesRpc
from services.state.rpc.locks import LocksRpc
from services.state.rpc.overview import OverviewRpc
from services.state.rpc.packets import PacketsRpc
from services.state.rpc.stale import READS, saying
from services.state.rpc.store import StoreRpc
from services.state.rpc.tasks import TasksRpc
from services.state.rpc.watch import WatchRpc

MAX_MESSAGE_BYTES = 34 * 1024 * 1024

__all__ = ["MAX_MESSAGE_BYTES", "StateServicer"]


class StateServicer(
    AgentsRpc,
    PacketsRpc,
    LocksRpc,
    AttentionRpc,
    TasksRpc,
    BoardsRpc,
    InboxesRpc,
    CheckpointsRpc,
    OverviewRpc,
    StoreRpc,
    WatchRpc,
):
    """Answers for `provost.state.v1.StateService`."""

    def __init__(self, state: State, watching: Watching) -> None:
        super().__init__(state)
        self._watching = watching
        for name in READS:
            setattr(self, name, saying(getattr(self, name), state.following))
