"""Budgets and runs: what was set aside is settled, whatever happens; one that is spent ends nothing but itself."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Action, Decision, Effect, EffectState, Mode
from services.orchestrator.domain.settling import Settlement, settlements
from services.orchestrator.ports.policy import RunContext
from services.orchestrator.wire import EVENTS
from tests.fakes.wait import until
from tests.unit.orchestrator.doors import FakeActuators, FakePolicy, Outage
from tests.unit.orchestrator.house import TENANT, approved, house, peers

BOTH = frozenset({"diagnostics.memory", "service.restart"})
"""The two actions that every agent here proposes."""


class Troubled(FakeActuators):
    """The first effect comes to `first`, all others succeed."""

    def __init__(self, outage: Outage, first: EffectState) -> None:
        super().__init__(outage)
        self.first = first

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        effect = await super().perform(effect_id, action, permit, journal_key, cause)
        bad = len(self.done) == 1
        return replace(effect, state=self.first, error_type="ACTUATOR_FAILED") if bad else effect


class Holding(FakePolicy):
    """Leaves restarts to people, in every mode."""

    def _decide(self, context: RunContext, action: Action, approval_id: str, cause: Cause) -> Decision:
        mode = Mode.ASSISTED if action.name == "service.restart" else context.mode
        return super()._decide(replace(context, mode=mode), action, approval_id, cause)


class Fenced(FakeActuators):
    """Refuse what is permitted under an older token than `newest`, the last that something was done under."""

    newest = 0

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        token = int(permit.rpartition(":")[2])
        if token < self.newest:
            stale = "FENCING_TOKEN_STALE"
            return Effect(
                effect_id, action.action_id, EffectState.REFUSED, "the lock is gone", error_type=stale
            )
        self.newest = token
        return await super().perform(effect_id, action, permit, journal_key, cause)


class Listening(FakePolicy):
    """Remembers how fresh each question wanted the answer to be."""

    def __init__(self, outage: Outage, allowed: frozenset[str]) -> None:
        super().__init__(outage, allowed)
        self.wanted: list[int] = []

    async def authorize(
        self,
        token: str,
        context: RunContext,
        actions: Sequence[Action],
        approval_ids: Mapping[str, str],
        cause: Cause,
    ) -> tuple[Decision, ...]:
        self.wanted.append(context.at_least_sequence)
        return await super().authorize(token, context, actions, approval_ids, cause)


async def test_what_was_done_is_settled_before_the_run_is_verified() -> None:
    at = peers()
    at.policy.budget = 5
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.state is RunState.COMPLETED
    assert list(at.policy.settled.values()) == [True]
    assert not at.policy.live
    (owed,) = settlements(view.run)
    assert owed == Settlement(view.run.decisions["a1"].reservation_id, spent=True)


async def test_a_run_without_budgets_settles_nothing() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert settlements(view.run) == ()
    assert at.policy.settled == {}


async def test_a_spent_budget_stops_the_action_and_is_no_violation() -> None:
    at = peers()
    at.policy.allowed = BOTH
    at.policy.budget = 1
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    run = view.run
    assert run.state is RunState.COMPLETED
    assert [each.reason for each in run.decisions.values()] == ["ALLOWED_BY_TIER", "BUDGET_SPENT"]
    assert len(at.actuators.done) == 1
    assert run.outcome == "2 planned, 1 done, 1 stopped by a budget (BUDGET_SPENT); a2: spent."
    assert at.policy.revoked == {}
    assert at.state.errors == []
    assert at.policy.settled == {run.decisions["a1"].reservation_id: True}


async def test_what_was_not_carried_out_is_given_back() -> None:
    at = peers()
    at.policy.budget = 5
    at.actuators = Troubled(at.outage, EffectState.REFUSED)
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert [each.state for each in view.run.effects.values()] == [EffectState.REFUSED]
    assert not any(at.policy.settled.values())
    assert not at.policy.live


async def test_while_people_are_asked_nothing_is_set_aside() -> None:
    at = peers()
    at.policy.budget = 1
    async with house(at) as it:
        run = await approved(at, it)
    assert run.state is RunState.COMPLETED
    assert len(at.actuators.done) == 1
    assert not at.policy.live
    assert sum(at.policy.settled.values()) == 1


async def test_after_an_error_policy_is_asked_again_and_knows_of_it() -> None:
    at = peers()
    at.policy = listening = Listening(at.outage, BOTH)
    at.policy.budget = 5
    at.actuators = Troubled(at.outage, EffectState.FAILED)
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert len(at.state.errors) == 1
    assert [each > 1000 for each in listening.wanted] == [False, True]
    assert not at.policy.live
    assert sum(at.policy.settled.values()) == 2  # one failed, one done: both were carried out
    assert view.run.state is RunState.COMPLETED


async def test_a_crash_after_any_event_charges_once() -> None:
    at = peers()
    at.policy.budget = 9
    async with house(at) as it:
        await it.process(Mode.AUTO)
        length = len(it.log.recorded())
    for n in range(1, length):
        at, log = peers(), MemoryLog(EVENTS)
        at.policy.budget = 9
        async with house(at, log) as it:
            started = asyncio.create_task(it.process(Mode.AUTO))
            async with asyncio.timeout(10):
                while len(log.recorded()) < n:
                    await asyncio.sleep(0)
            started.cancel()
        async with house(at, log) as it:
            view = await it.process(Mode.AUTO)
            run = it.runs.current(TENANT, view.run.known.run_id)
        assert view.run.state is RunState.COMPLETED, f"crash after event {n}"
        assert sum(at.policy.settled.values()) == 1, f"crash after event {n}"
        # One that was decided and not yet written down is known to nobody: it runs out, and is charged.
        assert len(at.policy.live) <= 1, f"crash after event {n}"
        assert at.policy.settled[run.decisions["a1"].reservation_id], f"crash after event {n}"


async def test_what_is_to_come_is_given_back_before_its_time_is_over_and_set_aside_again_when_it_comes() -> (
    None
):
    at = peers()
    at.policy.allowed = BOTH
    at.policy.budget = 2
    at.policy.permit_seconds = 0
    at.actuators.gate = asyncio.Event()
    async with house(at) as it:
        running = asyncio.create_task(it.process(Mode.AUTO))
        await until(lambda: len(at.actuators.done) == 1, "nothing was done")
        assert len(at.policy.live) == 1, "the second is set aside, too, and charged if the first takes long"
        at.actuators.gate.set()
        run = (await running).run
    assert run.state is RunState.COMPLETED
    assert len(at.actuators.done) == 2
    assert sum(at.policy.settled.values()) == 2
    assert not at.policy.live


async def test_what_was_given_back_while_people_were_asked_is_asked_for_again_before_it_is_used() -> None:
    at = peers()
    at.policy = Holding(at.outage, BOTH)
    at.policy.budget = 2
    async with house(at) as it:
        run = await approved(at, it, Mode.AUTO)
    assert run.state is RunState.COMPLETED
    assert len(at.actuators.done) == 2
    assert sum(at.policy.settled.values()) == 2


async def test_what_was_permitted_under_a_lock_that_was_lost_is_asked_for_again() -> None:
    at = peers()
    at.policy.allowed = BOTH
    at.actuators = fenced = Fenced(at.outage)
    perform = fenced.perform

    async def robbed(*asked: Any) -> Effect:
        if not fenced.newest:
            at.state.lock.clear()
            at.state.tokens = fenced.newest = 7  # another run had the agent, and has done something
        return await perform(*asked)

    fenced.perform = robbed  # type: ignore[method-assign,assignment]
    async with house(at) as it:
        run = (await it.process(Mode.AUTO)).run
    assert [each.state for each in run.effects.values()] == [EffectState.REFUSED, EffectState.SUCCEEDED]
    assert list(at.actuators.done.values()) == ["permit:a2:8"]
    assert (at.state.errors, at.policy.revoked) == ([], {})
