"""Agents, tasks, boards and messages."""

import json
from typing import Any

from provost.state.v1 import state_pb2
from services.gateway.domain.records import Page
from services.gateway.domain.sharing import (
    AgentNow,
    ArtifactKept,
    BoardEntry,
    Handoff,
    Held,
    HeldLock,
    IsStuck,
    Message,
    MessageFilter,
    Spent,
    Task,
    TaskNow,
    WaitingRun,
    Waits,
)
from services.gateway.wire.values import name_of, time_of


def messages_to_wire(wanted: MessageFilter, page: Page) -> state_pb2.ListMessagesRequest:
    return state_pb2.ListMessagesRequest(
        task_id=wanted.task_id,
        agent_id=wanted.agent_id,
        acknowledged_too=wanted.acknowledged_too,
        page_size=page.size,
        page_token=page.token,
    )


def agent_from_wire(agent: state_pb2.AgentSnapshot) -> AgentNow:
    stuck, lock = agent.stuck, agent.lock
    return AgentNow(
        agent_id=agent.agent_id,
        task_id=agent.packet.task_id,
        objective=agent.packet.objective,
        run_id=agent.run_id,
        phase=agent.phase,
        step=agent.step,
        errors=_spent(agent),
        lock=Held(lock.holder, lock.fencing_token, time_of(lock, "expire_time"))
        if agent.HasField("lock")
        else None,
        heartbeat_time=time_of(agent, "heartbeat_time"),
        waiting=_waits(agent.waiting) if agent.HasField("waiting") else None,
        stuck=IsStuck(
            name_of(state_pb2.Stuck.Kind, stuck.kind, "KIND_"),
            stuck.evidence,
            time_of(stuck, "since"),
            tuple(stuck.with_agent_ids),
        )
        if agent.HasField("stuck")
        else None,
        labels=tuple(agent.labels),
        sequence=agent.sequence,
        waiting_runs=tuple(
            WaitingRun(each.run_id, each.task_id, _waits(each.waiting)) for each in agent.waiting_runs
        ),
    )


def lock_from_wire(held: state_pb2.HeldLock) -> HeldLock:
    return HeldLock(
        agent_id=held.agent_id,
        task_id=held.task_id,
        holder=held.lock.holder,
        fencing_token=held.lock.fencing_token,
        expire_time=time_of(held.lock, "expire_time"),
        waiting=tuple(held.waiting),
    )


def entry_from_wire(entry: state_pb2.Entry) -> BoardEntry:
    return BoardEntry(
        section=entry.section,
        key=entry.key,
        value=_json(entry.value),
        author=entry.author,
        version=entry.version,
        put_time=time_of(entry, "at"),
        labels=tuple(entry.labels),
        sequence=entry.sequence,
    )


def message_from_wire(message: state_pb2.Message) -> Message:
    return Message(
        message_id=message.message_id,
        type=message.type,
        from_agent_id=message.from_agent_id,
        to_agent_id=message.to_agent_id,
        recipients=tuple(message.recipients),
        body=_json(message.body),
        in_reply_to=message.in_reply_to,
        send_time=time_of(message, "at"),
        labels=tuple(message.labels),
        sequence=message.sequence,
    )


def task_from_wire(task: state_pb2.TaskSummary) -> Task:
    return Task(
        task_id=task.task_id,
        agent_ids=tuple(task.agent_ids),
        active_agent_id=task.active_agent_id,
        entries=task.entries,
        unread_messages=task.unread_messages,
        artifacts=task.artifacts,
        change_time=time_of(task, "changed_at"),
        sequence=task.sequence,
    )


def task_now_from_wire(answer: state_pb2.GetTaskResponse) -> TaskNow:
    return TaskNow(
        task=task_from_wire(answer.task),
        agents=tuple(map(agent_from_wire, answer.agents)),
        locks=tuple(map(lock_from_wire, answer.locks)),
        board=tuple(map(entry_from_wire, answer.entries)),
        unread_messages=tuple(map(message_from_wire, answer.unread_messages)),
        artifacts=tuple(map(_artifact, answer.artifacts)),
        handoff=_handoff(answer.handoff) if answer.HasField("handoff") else None,
        incomplete=answer.incomplete,
    )


def _waits(waiting: state_pb2.Waiting) -> Waits:
    kind = name_of(state_pb2.Waiting.Kind, waiting.kind, "KIND_")
    return Waits(kind, waiting.what, time_of(waiting, "since"), time_of(waiting, "until"))


def _artifact(artifact: state_pb2.Artifact) -> ArtifactKept:
    return ArtifactKept(
        sha256=artifact.sha256,
        name=artifact.name,
        media_type=artifact.media_type,
        size_bytes=artifact.size_bytes,
        run_id=artifact.run_id,
        store_time=time_of(artifact, "at"),
        labels=tuple(artifact.labels),
    )


def _handoff(handoff: state_pb2.Handoff) -> Handoff:
    return Handoff(
        previous_agent_id=handoff.previous_agent_id,
        revoked=handoff.revoked,
        reason=handoff.revocation_reason.type,
        details=handoff.revocation_reason.details,
        phase=handoff.last_known_state.phase,
        step=handoff.last_known_state.step,
        what_was_tried=tuple(handoff.what_was_tried),
        blocking_issue=handoff.blocking_issue,
        required_next_actions=tuple(handoff.required_next_actions),
        constraints_reminder=tuple(handoff.constraints_reminder),
        artifacts=tuple(handoff.artifacts),
        labels=tuple(handoff.labels),
    )


def _spent(agent: state_pb2.AgentSnapshot) -> Spent:
    spent, budget = agent.errors, agent.packet.error_budget
    return Spent(
        total=spent.total,
        max_total=budget.max_total_errors,
        same_error_repeats=spent.same_error_repeats,
        max_same_error_repeats=budget.max_same_error_repeats,
        procedure_violations=spent.procedure_violations,
        max_procedure_violations=budget.max_procedure_violations,
    )


def _json(text: str) -> Any:
    """The value that `text` is; state lets nothing else in, and what is none after all is shown as it came."""
    try:
        return json.loads(text)
    except ValueError:
        return text
