"""An agent that may no more: its run ends, and what is known is left to the next."""

import asyncio
from typing import Any

import pytest

from chassis.eventlog.memory import MemoryLog
from kernel.faults import Denied, Exhausted, Invalid, Refused, Unavailable
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import (
    Action,
    Constraints,
    Effect,
    EffectState,
    ErrorBudget,
    Mode,
    Packet,
    Proposal,
)
from services.orchestrator.ports.crew import Task
from services.orchestrator.ports.policy import RunContext
from services.orchestrator.wire import EVENTS
from services.state.domain.bounds import require_name
from tests.fakes.wait import until
from tests.unit.orchestrator.doors import NOW
from tests.unit.orchestrator.house import AGENT, TENANT, Peers, cause, ended, house, peers, proposal, types


async def test_revoked_between_intent_and_outcome_is_not_left_to_the_next_to_do_again() -> None:
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        async with asyncio.timeout(10):
            while not at.actuators.done:
                await asyncio.sleep(0)
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        run = (await asking).run
    assert run.state is RunState.REVOKED
    assert "1 of unknown outcome" in run.outcome
    (handoff,) = at.state.handoffs
    assert any(t.startswith("a1: ") and "UNKNOWN" in t for t in map(at.keys.text, handoff.what_was_tried))
    assert not any("diagnostics.memory" in t for t in map(at.keys.text, handoff.required_next_actions))


async def test_a_forbidden_action_revokes_and_leaves_a_handoff() -> None:
    at = peers()
    at.policy.forbidden = frozenset({"service.restart"})
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.state is RunState.REVOKED
    assert view.run.reason == "PROCEDURE_VIOLATION"
    assert at.policy.revoked == {AGENT: "procedure_violation"}
    assert at.actuators.done == {}
    (handoff,) = at.state.handoffs
    assert handoff.previous_agent_id == AGENT
    assert handoff.revoked
    assert not any("diagnostics.memory" in action for action in handoff.required_next_actions), "sealed"
    assert any("diagnostics.memory" in t for t in map(at.keys.text, handoff.required_next_actions))


def going_wrong(what: str) -> Peers:
    at = peers()
    at.policy.forbidden = frozenset({"service.restart"} if what == "violation" else ())
    at.actuators.fails = what == "error"
    return at


@pytest.mark.parametrize("what", ["violation", "error"])
async def test_a_crash_after_any_event_makes_nothing_forgotten_that_counts(what: str) -> None:
    at = going_wrong(what)
    async with house(at) as it:
        whole = (await it.process(Mode.AUTO)).run
        length = len(it.log.recorded())
    assert len(at.state.errors) == 1
    for n in range(1, length):
        at, log = going_wrong(what), MemoryLog(EVENTS)
        async with house(at, log) as it:
            started = asyncio.create_task(it.process(Mode.AUTO))
            async with asyncio.timeout(10):
                while len(log.recorded()) < n:
                    await asyncio.sleep(0)
            started.cancel()
        async with house(at, log) as it:
            run = (await it.process(Mode.AUTO)).run
        assert len(at.state.errors) == 1, f"crash after {types(log)[n - 1]}"
        assert (run.state, run.reason) == (whole.state, whole.reason), f"crash after {types(log)[n - 1]}"


@pytest.mark.parametrize(("what", "told_by"), [("violation", "ActionsDecided"), ("error", "EffectsObserved")])
async def test_what_could_not_be_counted_before_a_restart_counts_after_it(what: str, told_by: str) -> None:
    at, log = going_wrong(what), MemoryLog(EVENTS)
    record, tries = at.state.record_error, 0

    async def away(*_: object) -> Any:
        nonlocal tries
        tries += 1
        raise Unavailable("PEER_UNREACHABLE", "state is away")

    at.state.record_error = away  # type: ignore[method-assign,assignment]
    async with house(at, log) as it:
        started = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: tries > 1, "nothing is counted")
        assert types(log)[-1] == told_by
        started.cancel()
    at.state.record_error = record  # type: ignore[method-assign]
    async with house(at, log) as it:
        run = (await it.process(Mode.AUTO)).run
    assert len(at.state.errors) == 1
    assert run.state is (RunState.REVOKED if what == "violation" else RunState.COMPLETED)


async def test_two_who_carry_one_run_count_its_error_once() -> None:
    at, log = going_wrong("error"), MemoryLog(EVENTS)
    at.actuators.gate = asyncio.Event()
    async with house(at, log) as one, house(at, log) as other:
        asking = asyncio.create_task(one.process(Mode.AUTO))
        await until(lambda: bool(at.actuators.done), "nothing is done")
        (run_id,) = {each.stream.id for each in log.recorded()}
        other.conductor.carry(TENANT, run_id)
        at.actuators.gate.set()
        assert (await asking).run.state is RunState.COMPLETED
        await ended(other, run_id)
    assert at.state.errors == [("ACTUATOR_FAILED", False)]


@pytest.mark.parametrize("holder", ["this run, taken anew", "another"])
async def test_a_violation_counts_also_when_the_lock_was_lost_meanwhile(holder: str) -> None:
    at = peers()
    at.policy.forbidden = frozenset({"service.restart"})
    authorize = at.policy.authorize

    async def robbed(token: str, context: RunContext, *asked: Any) -> Any:
        at.state.tokens = 7
        at.state.lock[AGENT] = ("another-run" if holder == "another" else context.run_id, 7)
        return await authorize(token, context, *asked)

    at.policy.authorize = robbed  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert at.state.errors == [("FORBIDDEN_BY_PACKET", True)]
    assert at.state.errors_under == ([0] if holder == "another" else [7])
    assert (view.run.state, view.run.reason) == (RunState.REVOKED, "PROCEDURE_VIOLATION")


@pytest.mark.parametrize("what", ["violation", "error"])
async def test_a_run_whose_agent_is_revoked_when_its_error_would_count_ends(what: str) -> None:
    at = going_wrong(what)

    async def gone(*_: object) -> Any:
        raise Denied("AGENT_REVOKED", f"agent {AGENT} was revoked")

    at.state.record_error = gone  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert (view.run.state, view.run.reason) == (RunState.REVOKED, "AGENT_REVOKED")
    assert len(at.state.handoffs) == 1


async def test_a_run_ends_also_when_its_violation_cannot_be_counted_without_its_lock_either() -> None:
    at = going_wrong("violation")

    async def never(*error: Any) -> Any:
        if not error[6]:
            raise Denied("AGENT_REVOKED", f"agent {AGENT} was revoked")
        at.state.lock[AGENT] = ("another-run", 7)
        raise Denied("FENCING_TOKEN_STALE", "somebody else has it")

    at.state.record_error = never  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        run = (await it.process(Mode.AUTO)).run
    assert (run.state, run.reason) == (RunState.REVOKED, "AGENT_REVOKED")


@pytest.mark.parametrize("what", ["violation", "error"])
@pytest.mark.parametrize(
    ("problem", "state", "reason"),
    [
        (Invalid("FIELD_INVALID", "state takes it not", field="task_id"), RunState.FAILED, "FIELD_INVALID"),
        (Exhausted("MESSAGE_TOO_LARGE", "nor this"), RunState.FAILED, "MESSAGE_TOO_LARGE"),
        (RuntimeError("a bug in state"), RunState.FAILED, "INTERNAL"),
        (Denied("AGENT_REVOKED", f"agent {AGENT} was revoked"), RunState.REVOKED, "AGENT_REVOKED"),
        (Refused("SUBJECT_ERASED", "its key is gone"), RunState.FAILED, "SUBJECT_ERASED"),
    ],
    ids=lambda each: str(getattr(each, "reason", "")),
)
async def test_a_run_whose_error_can_never_be_counted_ends_and_gives_its_agent_back(
    what: str, problem: Exception, state: RunState, reason: str
) -> None:
    at, asked = going_wrong(what), 0

    async def never(*_: object) -> Any:
        nonlocal asked
        asked += 1
        raise problem

    at.state.record_error = never  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        run = (await it.process(Mode.AUTO)).run
        assert it.crew.reserve(TENANT, AGENT, "another run")
    assert (run.state, run.reason, asked) == (state, reason, 1)
    revoked = state is RunState.REVOKED  # its lock is for state to take
    assert (len(at.state.handoffs), bool(at.state.lock)) == (revoked, revoked)
    assert at.policy.revoked == {}, "that nobody counts it is none of the agent's"


async def test_an_error_whose_type_is_no_type_counts_as_one_and_says_in_its_text_what_it_was() -> None:
    """As it stands in a log, or comes of actuators of another version."""
    at = peers()
    record = at.state.record_error
    texts: list[str] = []

    async def perform(effect_id: str, action: Action, *_: object) -> Effect:
        kind = "connection refused"
        return Effect(
            effect_id, action.action_id, EffectState.FAILED, "", error_type=kind, error_message="by db"
        )

    async def strict(agent_id: str, task_id: str, run_id: str, *error: Any) -> Any:
        require_name(error[0], "error_type")
        texts.append(at.keys.text(error[1]))
        return await record(agent_id, task_id, run_id, *error)

    at.actuators.perform = perform  # type: ignore[method-assign,assignment]
    at.state.record_error = strict  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        run = (await it.process(Mode.AUTO)).run
    assert run.state is RunState.COMPLETED
    assert (at.state.errors, texts) == ([("ACTUATOR_FAILED", False)], ["connection refused: by db"])


async def test_what_counted_once_its_lock_was_had_again_counts_once_though_a_crash_follows() -> None:
    at, log = going_wrong("error"), MemoryLog(EVENTS)
    record, tries = at.state.record_error, 0

    async def robbed(agent_id: str, task_id: str, run_id: str, *error: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            at.state.tokens = 7
            at.state.lock[AGENT] = (run_id, 7)
        await record(agent_id, task_id, run_id, *error)
        return await asyncio.Event().wait()  # it ends before it hears the answer

    at.state.record_error = robbed  # type: ignore[method-assign,assignment]
    async with house(at, log) as it:
        started = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: len(at.state.errors) == 1, "it does not count")
        started.cancel()
    assert at.state.errors_under == [7]
    at.state.lock.clear()  # its lease is over before somebody carries it on
    at.state.record_error = record  # type: ignore[method-assign]
    async with house(at, log) as it:
        run = (await it.process(Mode.AUTO)).run
    assert at.state.errors == [("ACTUATOR_FAILED", False)]
    assert run.state is RunState.COMPLETED


async def test_what_a_run_keeps_under_its_lock_shows_the_token_and_a_newer_one_when_it_was_lost() -> None:
    at = peers()
    put = at.state.put_artifact

    async def robbed(
        content: bytes, name: str, media_type: str, task_id: str, run_id: str, *more: Any
    ) -> str:
        if name == "report.json" and at.state.tokens < 7:
            at.state.tokens = 7
            at.state.lock[AGENT] = (run_id, 7)
        return await put(content, name, media_type, task_id, run_id, *more)

    at.state.put_artifact = robbed  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    assert view.run.state is RunState.COMPLETED
    assert at.state.under == {"log.txt": 0, "report.json": 7}
    assert at.state.errors == []


async def test_the_same_failure_twice_spends_the_budget() -> None:
    at = peers()

    def fail(task: Task) -> Proposal:
        raise Refused("AGENT_FAILED", "no idea")

    async with house(at, think=fail) as it:
        view = await it.process(Mode.SAFE)
    assert at.state.errors == [("AGENT_FAILED", False)] * 2
    assert view.run.state is RunState.REVOKED
    assert view.run.reason == "ERROR_BUDGET_EXCEEDED"
    assert at.policy.revoked == {AGENT: "same_error_repeated"}


async def test_revoked_in_the_middle_ends_the_run_with_a_handoff() -> None:
    at = peers()
    async with house(at, think=proposal) as it:
        view = await it.process(Mode.ASSISTED)
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
    assert run.state is RunState.REVOKED
    assert len(at.state.handoffs) == 1
    assert at.actuators.done == {}


async def test_without_an_artifact_that_its_packet_demands_the_agent_is_revoked() -> None:
    at = peers()
    demanding = Packet(
        agent_id=AGENT,
        task_id="t1",
        created_for="key:op",
        objective="patch it",
        deliverables=("plan", "artifact:patch.diff"),
        constraints=Constraints(),
        success_criteria=(),
        error_budget=ErrorBudget(),
        escalation_rules=(),
        created_at=NOW,
    )
    async with house(at) as it:
        view = await it.orchestrator.start_run(AGENT, "t1", "", Mode.SAFE, demanding, "", cause())
        await ended(it, view.run.known.run_id)
        run = it.runs.current(TENANT, view.run.known.run_id)
    assert (run.state, run.reason) == (RunState.REVOKED, "REQUIRED_ARTIFACT_MISSING")
    assert at.policy.revoked == {AGENT: "required_artifact_missing"}
    assert len(at.state.handoffs) == 1
