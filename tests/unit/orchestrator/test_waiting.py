"""Runs that wait, for a person or for something that takes long: who is told, and what goes on meanwhile."""

import asyncio
from dataclasses import replace
from typing import Any

from kernel.events import Cause, Recorded
from kernel.faults import Invalid, Refused
from provost.policy.v1 import events_pb2
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Constraints, ErrorBudget, Mode, Packet
from services.orchestrator.handlers.carrying import StepLimits
from services.orchestrator.ports.policy import RunContext
from services.orchestrator.reactor import Reactor
from services.orchestrator.wire import run_to_wire
from tests.fakes.wait import until
from tests.unit.orchestrator.doors import NOW
from tests.unit.orchestrator.house import AGENT, TENANT, House, Peers, cause, ended, house, peers


async def test_an_assisted_run_waits_for_a_person_and_then_acts() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.ASSISTED)
        assert view.run.state is RunState.WAITING
        assert at.actuators.done == {}
        assert at.policy.asked["ap-a1"][2] == "key:op"
        run_id = view.run.known.run_id
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
        run = it.runs.current(TENANT, run_id)
    assert run.state is RunState.COMPLETED
    assert list(at.actuators.done.values()) == ["permit:a1:2"]


async def test_a_run_that_has_lost_its_lock_before_it_waits_waits_all_the_same() -> None:
    at = peers()
    release = at.state.release_lock

    async def lost(*_: object) -> None:
        at.state.lock.clear()
        at.state.release_lock = release  # type: ignore[method-assign]
        raise Refused("FENCING_TOKEN_STALE", "somebody has taken it away")

    at.state.release_lock = lost  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        assert (await it.process(Mode.SAFE, "r2")).run.state is RunState.COMPLETED
        assert it.runs.current(TENANT, run_id).state is RunState.WAITING
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
    assert len(at.actuators.done) == 1


async def test_while_a_run_waits_its_agent_serves_others() -> None:
    at = peers()
    async with house(at) as it:
        waiting = await it.process(Mode.ASSISTED)
        other = await it.process(Mode.SAFE, "r2")
        assert (waiting.run.state, other.run.state) == (RunState.WAITING, RunState.COMPLETED)


async def test_a_run_waits_for_its_agent_as_long_as_another_has_it_and_that_is_no_error() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: AGENT not in at.state.lock, "it has kept its agent")
        at.state.lock[AGENT] = ("somebody", 99)
        tries, acquire = list[str](), at.state.acquire_lock

        async def counted(agent_id: str, task_id: str, holder: str, lease_seconds: int, cause: Cause) -> int:
            tries.append(cause.request_id)
            return await acquire(agent_id, task_id, holder, lease_seconds, cause)

        at.state.acquire_lock = counted  # type: ignore[method-assign]
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await until(lambda: len(tries) > 3, "it does not try again")
        assert it.runs.current(TENANT, run_id).state is RunState.WAITING
        del at.state.lock[AGENT]
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.COMPLETED
    assert len(set(tries)) == len(tries), "a lock that was lost would be asked for in vain"
    assert at.policy.revoked == {}


async def test_a_run_is_not_refused_because_another_that_goes_on_has_the_lock() -> None:
    at = peers()
    async with house(at) as it:
        other = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: AGENT not in at.state.lock, "it has kept its agent")
        at.state.lock[AGENT] = (other, 99)  # it had acquired it when its process ended
        asking = asyncio.create_task(it.process(Mode.SAFE, "r2"))
        await until(lambda: at.state.refused > 2, "it does not try again")
        assert it.crew.reserve(TENANT, AGENT, other), "the one that has the lock cannot go on"
        at.state.packets[AGENT] = replace(at.state.packets[AGENT], task_id="task of the other")
        it.crew.release(TENANT, AGENT, other)
        del at.state.lock[AGENT]
        assert (await asking).run.state is RunState.COMPLETED


async def test_a_run_is_not_refused_because_another_that_is_over_still_has_the_lock() -> None:
    at = peers()
    async with house(at) as it:
        over = (await it.process(Mode.SAFE)).run
        assert over.over
        at.state.lock[AGENT] = (over.known.run_id, 99)  # it never heard that it had it
        asking = asyncio.create_task(it.process(Mode.SAFE, "r2"))
        await until(lambda: at.state.refused > 2, "it does not try again")
        del at.state.lock[AGENT]  # its lease is over
        assert (await asking).run.state is RunState.COMPLETED


async def refused(*_: object) -> int:
    raise Invalid("LABEL_UNKNOWN", "policy set 2 has no label 'old'")


async def test_a_run_that_cannot_have_its_agent_back_ends_and_its_agent_does_not_pay() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: AGENT not in at.state.lock, "it has kept its agent")
        at.state.issue_packet = refused  # type: ignore[assignment, method-assign]
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
        run = it.runs.current(TENANT, run_id)
    assert (run.state, run.reason) == (RunState.FAILED, "LABEL_UNKNOWN")
    assert (at.state.errors, at.policy.revoked) == ([], {})


async def test_a_run_that_lost_its_lock_and_cannot_have_it_back_ends() -> None:
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: bool(at.actuators.done), "nothing is done")
        at.state.issue_packet = refused  # type: ignore[assignment, method-assign]
        at.state.lock.clear()
        at.actuators.gate.set()
        run = (await asking).run
    assert (run.state, run.reason) == (RunState.FAILED, "LABEL_UNKNOWN")
    assert at.policy.revoked == {}


async def test_a_packet_of_a_process_that_is_gone_comes_late_and_refuses_nobody() -> None:
    at = peers()
    issue, late = at.state.issue_packet, 2

    async def behind_each(packet: Packet, cause: Cause) -> int:
        nonlocal late
        sequence = await issue(packet, cause)
        if late:
            late -= 1
            at.state.packets[packet.agent_id] = replace(packet, task_id="task of another")
        return sequence

    at.state.issue_packet = behind_each  # type: ignore[method-assign]
    async with house(at) as it:
        assert (await it.process(Mode.SAFE)).run.state is RunState.COMPLETED
    assert late == 0


def packet(task_id: str, objective: str, forbidden: str) -> Packet:
    return Packet(
        AGENT,
        task_id,
        "key:ann",
        objective,
        ("plan",),
        Constraints(forbidden=(forbidden,)),
        (),
        ErrorBudget(),
        (),
        NOW,
    )


async def waiting_without_a_packet(it: House, at: Peers) -> str:
    """A run that was sent none, and waits while another run's packet is in force."""
    at.state.packets[AGENT] = packet("standing", "ours", "hardware.replace")
    view = await it.orchestrator.start_run(AGENT, "t1", "", Mode.ASSISTED, None, "", cause())
    run_id = view.run.known.run_id
    await until(lambda: AGENT in at.state.waiting, "it does not wait")
    await at.state.issue_packet(packet("t2", "another's", "service.restart"), cause("another"))
    return run_id


async def test_a_run_without_a_packet_does_not_go_on_under_that_of_another() -> None:
    at = peers()
    async with house(at) as it:
        run_id = await waiting_without_a_packet(it, at)
        (ours, _) = at.state.given
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.COMPLETED
    assert ours.constraints == Constraints(forbidden=("hardware.replace",))
    assert at.state.packets[AGENT] == ours


async def test_nor_when_its_own_is_not_at_hand_any_more() -> None:
    at = peers()
    async with house(at) as it:
        run_id = await waiting_without_a_packet(it, at)
        del at.state.given[0]
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
        run = it.runs.current(TENANT, run_id)
    assert (run.state, run.reason) == (RunState.FAILED, "NO_INSTRUCTION_PACKET")
    assert (at.state.packets[AGENT].task_id, at.policy.revoked) == ("t2", {})


async def test_state_is_told_what_a_run_waits_for_and_that_it_works_again() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: at.state.waiting == {AGENT: "ap-a1"}, "nobody was told")
        at.policy.answer("APPROVED")
        it.conductor.nudge(TENANT, run_id)
        await ended(it, run_id)
    assert at.state.waiting == {}


async def test_state_is_told_of_an_effect_that_takes_long_and_of_no_other() -> None:
    at = peers()
    async with house(at, limits=StepLimits(quick_seconds=0.05)) as it:
        await it.process(Mode.AUTO)
        assert at.state.said == []
    at = peers()
    at.actuators.gate = asyncio.Event()
    async with house(at, limits=StepLimits(quick_seconds=0.05)) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: AGENT in at.state.waiting, "nobody was told")
        assert at.state.waiting[AGENT].startswith("effect ")
        at.actuators.gate.set()
        assert (await asking).run.state is RunState.COMPLETED
    assert at.state.waiting == {}


async def test_an_effect_goes_on_where_state_cannot_be_told_of_it() -> None:
    at = peers()
    at.actuators.gate, refused = asyncio.Event(), asyncio.Event()

    async def waits(*_: object) -> None:
        refused.set()
        raise Invalid("FIELD_INVALID", "what must have at most 200 characters")

    at.state.waits = waits  # type: ignore[assignment, method-assign]
    async with house(at, limits=StepLimits(quick_seconds=0.05)) as it:
        asking = asyncio.create_task(it.process(Mode.AUTO))
        await refused.wait()
        at.actuators.gate.set()
        assert (await asking).run.state is RunState.COMPLETED
    assert list(at.actuators.done.values()) == ["permit:a1:1"]


async def test_a_run_that_is_ended_while_it_waits_waits_no_more() -> None:
    at = peers()
    async with house(at) as it:
        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        await until(lambda: at.state.waiting == {AGENT: "ap-a1"}, "nobody was told")
        it.conductor.agent_revoked(TENANT, AGENT, "operator", "taken away")
        await ended(it, run_id)
        assert it.runs.current(TENANT, run_id).state is RunState.REVOKED
    assert at.state.waiting == {}


async def test_a_rejected_run_ends_without_acting() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.ASSISTED)
        at.policy.answer("REJECTED")
        it.conductor.nudge(TENANT, view.run.known.run_id)
        await ended(it, view.run.known.run_id)
        assert it.runs.current(TENANT, view.run.known.run_id).state is RunState.COMPLETED
    assert at.actuators.done == {}


def answered_event(it: House, run_id: str, approval_id: str) -> Recorded:
    answered = events_pb2.ApprovalAnswered(approval_id=approval_id, run_id=run_id, approved=True)
    subject = f"evt.{TENANT}.policy.approval.{approval_id}.ApprovalAnswered"
    sequence = it.log.recorded()[-1].sequence + 1
    return Recorded(sequence, subject, {"ce-id": approval_id}, answered.SerializeToString())


async def test_a_run_waits_no_more_for_what_was_answered() -> None:
    at = peers()
    at.policy.allowed = frozenset({"diagnostics.memory", "service.restart"})
    async with house(at) as it:
        reactor = Reactor(it.runs, it.conductor)

        async def waits_for(run_id: str) -> list[str]:
            view = await it.orchestrator.get_run(TENANT, run_id, 0)
            return list(run_to_wire(view.run, view.sequence, view.answered).waiting_for)

        run_id = (await it.process(Mode.ASSISTED)).run.known.run_id
        assert await waits_for(run_id) == ["ap-a1", "ap-a2"]
        await reactor.take([answered_event(it, run_id, "ap-a1"), answered_event(it, "of no run here", "x")])
        assert await waits_for(run_id) == ["ap-a2"]
        assert it.conductor.answered_of(TENANT, "of no run here") == frozenset()
        at.policy.answer("APPROVED")
        await reactor.take([answered_event(it, run_id, "ap-a2")])
        await ended(it, run_id)
        await until(lambda: not it.conductor.answered_of(TENANT, run_id), "what was answered is held")
        await reactor.take([answered_event(it, run_id, "ap-a2")])
        assert not it.conductor.answered_of(TENANT, run_id), "its run is over"


async def test_an_answer_counts_that_comes_before_its_run_says_that_it_waits() -> None:
    at = peers()
    async with house(at) as it:
        ask = at.policy.request_approval

        async def answered_at_once(context: RunContext, *more: Any) -> str:
            approval_id = await ask(context, *more)
            await Reactor(it.runs, it.conductor).take([answered_event(it, context.run_id, approval_id)])
            return approval_id

        at.policy.request_approval = answered_at_once  # type: ignore[method-assign,assignment]
        view = await it.process(Mode.ASSISTED)
        assert (view.run.state, view.run.approval_ids) == (RunState.WAITING, {"a1": "ap-a1"})
        assert view.answered == {"ap-a1"}
