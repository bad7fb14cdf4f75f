"""Agents and tasks as they are now, for somebody who was woken up: what is wrong comes first, then who does what."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provost.state.v1 import state_pb2 as pb

_MAX_TEXT = 200

LOCKS = ("agent", "task", "held by", "token", "until", "waiting, in turn")
STUCK = ("agent", "task", "how", "since", "what was seen", "run")
PACKETS = ("version", "at", "task", "for", "objective", "may", "must not", "labels")
ENTRIES = ("section", "key", "version", "by", "at", "value", "labels")
MESSAGES = ("seq", "at", "type", "from", "to", "says", "labels", "id")
CHECKPOINTS = ("number", "at", "phase", "agent", "task", "note", "labels", "artifact")
TASKS = ("task", "changed at", "working", "agents", "board", "unread", "artifacts")
_AGENTS = ("agent", "phase", "run", "lock until", "errors", "heartbeat", "state")
_ARTIFACTS = ("sha256", "name", "run", "bytes", "at", "labels")


def agent(told: "pb.AgentSnapshot") -> None:
    """Everything known of one agent."""
    from provost_sdk.cli.show import console, plain

    packet, labels = told.packet, ", ".join(told.labels)
    lock = f"{told.lock.holder}, token {told.lock.fencing_token}, until {at(told.lock.expire_time)}"
    said = (
        ("task", packet.task_id),
        ("packet", f"version {packet.version}: {packet.objective}" if packet.task_id else "none"),
        ("phase", _phase(told)),
        ("run", told.run_id),
        ("lock", lock if told.HasField("lock") else "nobody holds it"),
        ("errors", errors(told)),
        ("by kind", ", ".join(f"{kind} {n}" for kind, n in sorted(told.errors.by_type.items()))),
        ("heartbeat", at(told.heartbeat_time) if told.HasField("heartbeat_time") else "none left"),
        ("labels", labels),
        ("sequence", told.sequence),
    )
    console().print(plain(told.agent_id, "bold"), plain(f" {standing(told)}", _style(told)))
    for name, value in said:
        if value:
            console().print(plain(f"  {name:<10}{value}"))
    for run in told.waiting_runs:
        console().print(plain(f"  run {run.run_id} of task {run.task_id} {_waits(run.waiting)}", "yellow"))


def task(told: "pb.GetTaskResponse") -> None:
    """A task on one screen."""
    from provost_sdk.cli.show import console, plain

    summary = told.task
    console().print(plain(f"Task {summary.task_id}", "bold"))
    console().print(
        plain(f"  last changed {at(summary.changed_at)} UTC (#{summary.sequence}); ")
        + plain(
            f"{summary.active_agent_id} works on it" if summary.active_agent_id else "nobody works on it now"
        )
    )
    for each in told.agents:
        if _elsewhere(each, summary.task_id):
            for run in each.waiting_runs:
                if run.task_id == summary.task_id:
                    said = f"  {each.agent_id} works on {each.packet.task_id}; run {run.run_id} {_waits(run.waiting)}"
                    console().print(plain(said, "yellow"))
        elif each.HasField("stuck") or each.HasField("waiting"):
            console().print(plain(f"  {each.agent_id} {standing(each)}", _style(each)))
    for held in told.locks:
        if held.waiting:
            console().print(
                plain(f"  {', '.join(held.waiting)}: waits for {held.agent_id}, held by {held.lock.holder}")
            )
    here = [each for each in told.agents if not _elsewhere(each, summary.task_id)]
    _part("Agents", _AGENTS, map(_agent_row, here), "No agent works on it.")
    _part("Board", ENTRIES, map(entry_row, told.entries), "The board is empty.")
    _part("Unread messages", MESSAGES, map(message_row, told.unread_messages), "All messages have been read.")
    _part("Artifacts", _ARTIFACTS, map(_artifact_row, told.artifacts), "No artifacts.")
    if told.HasField("handoff"):
        _handoff(told.handoff)
    if told.incomplete:
        console().print(
            plain(
                "There is more than is shown: `provost state board|messages|locks|stuck` list it.", "yellow"
            )
        )


def standing(told: "pb.AgentSnapshot") -> str:
    """In a few words: stuck, waiting, or at work."""
    from provost_sdk.models import word

    if told.HasField("stuck"):
        circle = f", with {', '.join(told.stuck.with_agent_ids)}" if told.stuck.with_agent_ids else ""
        kind = word(told.stuck, "kind")
        return f"STUCK {kind}{circle} since {at(told.stuck.since)}: {_cut(told.stuck.evidence)}"
    if told.HasField("waiting"):
        return _waits(told.waiting)
    return "at work" if told.HasField("lock") else "idle"


def errors(told: "pb.AgentSnapshot") -> str:
    """What is spent of the budget: of all errors, of the one seen most often, of breaches of procedure."""
    spent, budget = told.errors, told.packet.error_budget
    return (
        f"{_of(spent.total, budget.max_total_errors)} total, "
        f"{_of(spent.same_error_repeats, budget.max_same_error_repeats)} alike, "
        f"{_of(spent.procedure_violations, budget.max_procedure_violations)} violations"
    )


def lock_row(held: "pb.HeldLock") -> Sequence[object]:
    lock = held.lock
    return (
        held.agent_id,
        held.task_id,
        lock.holder,
        lock.fencing_token,
        at(lock.expire_time),
        ", ".join(held.waiting),
    )


def stuck_row(told: "pb.AgentSnapshot") -> Sequence[object]:
    from provost_sdk.models import word

    stuck = told.stuck
    how = " with ".join(filter(None, (word(stuck, "kind"), ", ".join(stuck.with_agent_ids))))
    return (told.agent_id, told.packet.task_id, how, at(stuck.since), stuck.evidence, told.run_id)


def packet_row(packet: "pb.Packet") -> Sequence[object]:
    allowed = packet.constraints
    return (
        packet.version,
        at(packet.created_at),
        packet.task_id,
        packet.created_for,
        packet.objective,
        ", ".join(allowed.scope) or "as its tier",
        ", ".join(allowed.forbidden),
        ", ".join(packet.labels),
    )


def entry_row(entry: "pb.Entry") -> Sequence[object]:
    labels = ", ".join(entry.labels)
    value = _cut(entry.value)
    return (entry.section, entry.key, entry.version, entry.author, at(entry.at), value, labels)


def message_row(message: "pb.Message") -> Sequence[object]:
    to = message.to_agent_id or "all"
    if not message.to_agent_id and message.recipients:
        to = f"all ({', '.join(message.recipients)})"
    if message.passed_over:
        to += f", not {', '.join(message.passed_over)}: full"
    return (
        message.sequence,
        at(message.at),
        message.type,
        message.from_agent_id,
        to,
        _cut(message.body),
        ", ".join(message.labels),
        message.message_id,
    )


def checkpoint_row(kept: "pb.Checkpoint") -> Sequence[object]:
    phase = "/".join(filter(None, (kept.phase, kept.step)))
    return (
        kept.number,
        at(kept.at),
        phase,
        kept.agent_id,
        kept.task_id,
        kept.note,
        ", ".join(kept.labels),
        kept.artifact_sha256,
    )


def task_row(summary: "pb.TaskSummary") -> Sequence[object]:
    return (
        summary.task_id,
        at(summary.changed_at),
        summary.active_agent_id or "-",
        ", ".join(summary.agent_ids),
        summary.entries,
        summary.unread_messages,
        summary.artifacts,
    )


def at(stamp: Any) -> str:
    """A time for people, UTC; a dash for none."""
    return str(stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")) if stamp.ByteSize() else "-"


def _agent_row(told: "pb.AgentSnapshot") -> Sequence[object]:
    from provost_sdk.cli.show import plain

    return (
        told.agent_id,
        _phase(told),
        told.run_id,
        at(told.lock.expire_time) if told.HasField("lock") else "not held",
        errors(told),
        at(told.heartbeat_time),
        plain(standing(told).partition(":")[0].partition(" since ")[0], _style(told)),
    )


def _artifact_row(artifact: "pb.Artifact") -> Sequence[object]:
    labels = ", ".join(artifact.labels)
    return (artifact.sha256, artifact.name, artifact.run_id, artifact.size_bytes, at(artifact.at), labels)


def _handoff(handoff: "pb.Handoff") -> None:
    from provost_sdk.cli.show import console, plain

    console().print(plain(f"Handoff from {handoff.previous_agent_id}", "bold"))
    reason = ": ".join(filter(None, (handoff.revocation_reason.type, handoff.revocation_reason.details)))
    why = f"why: {reason}" if reason else ""
    labels = f"labels: {', '.join(handoff.labels)}" if handoff.labels else ""
    then = (f"next: {each}" for each in handoff.required_next_actions)
    for text in (why, handoff.blocking_issue, *then, labels):
        if text:
            console().print(plain(f"  {text}"))


def _part(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    from provost_sdk.cli.show import console, plain, table

    console().print()
    console().print(plain(title, "bold"))
    table(columns, rows, empty=f"  {empty}")


def _waits(waiting: "pb.Waiting") -> str:
    from provost_sdk.models import word

    until = f", until {at(waiting.until)}" if waiting.HasField("until") else ""
    return f"waits for {word(waiting, 'kind')} since {at(waiting.since)}{until}: {_cut(waiting.what)}"


def _elsewhere(told: "pb.AgentSnapshot", task_id: str) -> bool:
    """Whether the agent has gone on with another task, and only a run that waits is of this one."""
    return told.packet.task_id != task_id and any(run.task_id == task_id for run in told.waiting_runs)


def _phase(told: "pb.AgentSnapshot") -> str:
    return "/".join(filter(None, (told.phase, told.step))) or "-"


def _style(told: "pb.AgentSnapshot") -> str:
    return "bold red" if told.HasField("stuck") else "yellow" if told.HasField("waiting") else "green"


def _of(spent: int, most: int) -> str:
    return f"{spent}/{most}" if most else str(spent)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
