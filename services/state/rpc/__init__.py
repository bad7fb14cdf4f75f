"""Unwrap, ask, wrap: state over gRPC. Writes need the role service; every known role may read."""

from services.state.rpc.agents import AgentsRpc
from services.state.rpc.attention import AttentionRpc
from services.state.rpc.locks import LocksRpc
from services.state.rpc.store import StoreRpc
from services.state.rpc.tasks import TasksRpc

MAX_MESSAGE_BYTES = 34 * 1024 * 1024

__all__ = ["MAX_MESSAGE_BYTES", "StateServicer"]


class StateServicer(AgentsRpc, LocksRpc, AttentionRpc, TasksRpc, StoreRpc):
    """Answers for `provost.state.v1.StateService`."""
