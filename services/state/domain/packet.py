"""Instruction packets: what one agent is to do in one task, within which limits."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from kernel.events import require_token
from kernel.faults import Invalid
from services.state.domain.bounds import require_agent_id, require_text, require_texts
from services.state.domain.faults import PacketInvalid
from services.state.domain.labels import ANY_LABEL, Labelling

MAX_PACKET_CHARACTERS = 65_536
MAX_BUDGET = 1000
PEOPLE = "key-"
"""How the names begin under which people write on boards and send messages."""


@dataclass(frozen=True, slots=True)
class Constraints:
    scope: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    required_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """How much may go wrong before the agent is stopped; counts run from the packet."""

    max_total_errors: int = 8
    max_same_error_repeats: int = 2
    max_procedure_violations: int = 1


@dataclass(frozen=True, slots=True)
class Packet:
    agent_id: str
    task_id: str
    created_for: str
    objective: str
    created_at: datetime
    deliverables: tuple[str, ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    success_criteria: tuple[str, ...] = ()
    error_budget: ErrorBudget = field(default_factory=ErrorBudget)
    escalation_rules: tuple[str, ...] = ()
    version: int = 0
    """From 1 on for each agent; 0 in packets from before there were versions."""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuePacket:
    packet: Packet
    at: datetime
    labelling: Labelling = ANY_LABEL


@dataclass(frozen=True, slots=True)
class PacketIssued:
    packet: Packet
    at: datetime


def issue(known: Packet | None, command: IssuePacket) -> PacketIssued | None:
    """The packet with the version that follows on `known`; `None` when it says the same.

    Raises:
        PacketInvalid: a field is out of bounds.
        LabelUnknown: the policy set does not have the label, and no packet that is kept of the agent and task had it.
    """
    packet = require_sound(command.packet)
    version = known.version if known else 0
    if replace(packet, version=version) == known:
        return None  # a run that takes its agent again goes on with the same counts
    command.labelling.of(packet.labels)
    return PacketIssued(replace(packet, version=version + 1), command.at)


def require_sound(packet: Packet) -> Packet:
    """`packet`, if every field is within its bounds.

    Raises:
        PacketInvalid: naming the first field that is not, and what is allowed.
    """
    try:
        require_agent_id(packet.agent_id)
        require_token(packet.task_id, "task_id")
        ANY_LABEL.of(packet.labels)
    except Invalid as fault:
        raise PacketInvalid(fault.facts["field"], fault.text.partition(" ")[2]) from None
    if packet.agent_id.startswith(PEOPLE):
        raise PacketInvalid("agent_id", f"must not begin with {PEOPLE!r}: people write under such names")
    if not packet.objective.strip():
        raise PacketInvalid("objective", "must say what is to be achieved")
    require_text(packet.objective, "objective", 4000, PacketInvalid)
    require_text(packet.created_for, "created_for", 200, PacketInvalid)
    constraints, budget = packet.constraints, packet.error_budget
    lists = {
        "deliverables": (packet.deliverables, 1000),
        "constraints.scope": (constraints.scope, 200),
        "constraints.forbidden": (constraints.forbidden, 200),
        "constraints.required_steps": (constraints.required_steps, 128),
        "success_criteria": (packet.success_criteria, 1000),
        "escalation_rules": (packet.escalation_rules, 1000),
    }
    for name, (values, max_characters) in lists.items():
        require_texts(values, name, 64, max_characters, PacketInvalid)
    limits = {
        "max_total_errors": budget.max_total_errors,
        "max_same_error_repeats": budget.max_same_error_repeats,
        "max_procedure_violations": budget.max_procedure_violations,
    }
    for name, limit in limits.items():
        if not 1 <= limit <= MAX_BUDGET:
            raise PacketInvalid(f"error_budget.{name}", f"must be 1 to {MAX_BUDGET}")
    total = len(packet.objective) + sum(len(value) for values, _ in lists.values() for value in values)
    if total > MAX_PACKET_CHARACTERS:
        raise PacketInvalid(
            "objective", f"and lists together have at most {MAX_PACKET_CHARACTERS} characters"
        )
    return packet
