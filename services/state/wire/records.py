"""Between state's records and its messages."""

from datetime import datetime

from chassis.mapping import Mapper
from provost.state.v1 import state_pb2
from services.state.domain.attention import Stuck, Waiting
from services.state.domain.board import Entry
from services.state.domain.checkpoints import Checkpoint
from services.state.domain.errors import ErrorCounts
from services.state.domain.inbox import Message
from services.state.domain.packet import ErrorBudget, Packet
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot, HeldLock, LockInUse
from services.state.domain.summary import TaskSummary
from services.state.domain.task import Artifact, Handoff, HandoffWritten

_BUDGET = ErrorBudget()

PACKET = Mapper(Packet, state_pb2.Packet)
ERRORS = Mapper(ErrorCounts, state_pb2.ErrorCounts)
LOCK = Mapper(HeldLock, state_pb2.Lock)
STUCK = Mapper(Stuck, state_pb2.Stuck)
WAITING = Mapper(Waiting, state_pb2.Waiting)
IN_USE = Mapper(LockInUse, state_pb2.HeldLock)
AGENT = Mapper(AgentSnapshot, state_pb2.AgentSnapshot)
ARTIFACT = Mapper(Artifact, state_pb2.Artifact)
HANDOFF = Mapper(Handoff, state_pb2.Handoff)
WRITTEN = Mapper(HandoffWritten, state_pb2.GetHandoffResponse)
ENTRY = Mapper(Entry, state_pb2.Entry)
MESSAGE = Mapper(Message, state_pb2.Message)
CHECKPOINT = Mapper(Checkpoint, state_pb2.Checkpoint)
SUMMARY = Mapper(TaskSummary, state_pb2.TaskSummary)
REVOCATION = Mapper(AgentRevoked, state_pb2.Revocation)


def packet_from_wire(message: state_pb2.Packet, at: datetime) -> Packet:
    """The packet with its gaps filled: no constraints, the usual error budget, created `at` this moment.

    Raises:
        Invalid: a field that does not fit.
    """
    whole = state_pb2.Packet()
    whole.CopyFrom(message)
    whole.constraints.SetInParent()
    budget = whole.error_budget
    budget.max_total_errors = budget.max_total_errors or _BUDGET.max_total_errors
    budget.max_same_error_repeats = budget.max_same_error_repeats or _BUDGET.max_same_error_repeats
    budget.max_procedure_violations = budget.max_procedure_violations or _BUDGET.max_procedure_violations
    if not whole.HasField("created_at"):
        whole.created_at.FromDatetime(at)
    return PACKET.to_record(whole)


def handoff_from_wire(message: state_pb2.Handoff) -> Handoff:
    """The handoff; what it does not say is empty. Raises Invalid."""
    whole = state_pb2.Handoff()
    whole.CopyFrom(message)
    whole.revocation_reason.SetInParent()
    whole.last_known_state.SetInParent()
    return HANDOFF.to_record(whole)


def waiting_from_wire(message: state_pb2.Waiting, at: datetime) -> Waiting:
    """What is waited for, since `at`, when it was said. Raises Invalid."""
    whole = state_pb2.Waiting()
    whole.CopyFrom(message)
    whole.since.FromDatetime(at)
    return WAITING.to_record(whole)
