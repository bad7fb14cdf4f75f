"""What a run does in each mode, and what it writes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from kernel.events import Cause
from services.orchestrator.domain.phases import ORDER, RunState
from services.orchestrator.domain.records import Action, Effect, EffectState, Mode, Proposal
from services.orchestrator.handlers.starting import run_id_of
from services.orchestrator.ports.crew import Task
from tests.unit.orchestrator.doors import NOW
from tests.unit.orchestrator.house import cause, house, peers, proposal, types


async def test_a_safe_run_changes_nothing_and_ends() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
    run = view.run
    assert run.state is RunState.COMPLETED
    assert [effect.state for effect in run.effects.values()] == [EffectState.PREVIEWED]
    assert at.actuators.done == {}
    assert at.actuators.previews == ["diagnostics.memory"]
    assert at.state.advanced == [phase.value for phase in ORDER[1:]]
    assert at.state.lock == {}
    assert run.checks is not None
    assert all(check.ok for check in run.checks)
    assert run.report_sha256 in at.state.artifacts
    assert view.sequence == it.log.recorded()[-1].sequence


async def test_what_a_preview_says_cannot_be_done_is_no_error_of_the_agent() -> None:
    at = peers()
    at.policy.allowed = frozenset({"diagnostics.memory", "service.restart"})

    async def preview(actions: Sequence[Action], cause: Cause) -> tuple[Effect, ...]:
        text = "nothing here can do it"
        return tuple(
            Effect("", each.action_id, EffectState.REFUSED, text, error_type="ACTION_UNKNOWN")
            for each in actions
        )

    at.actuators.preview = preview  # type: ignore[method-assign]
    async with house(at) as it:
        run = (await it.process(Mode.SAFE)).run
    assert [effect.state for effect in run.effects.values()] == [EffectState.REFUSED] * 2
    assert (run.state, at.state.errors, at.policy.revoked) == (RunState.COMPLETED, [], {})


async def test_the_report_holds_the_whole_run() -> None:
    at = peers()
    async with house(at) as it:
        run = (await it.process(Mode.SAFE)).run
    report = json.loads(at.keys.content(at.state.artifacts[run.report_sha256]))
    assert run.incident is not None
    assert report["incident"] == json.loads(json.dumps(asdict(run.incident)))
    assert [each["verdict"] for each in report["decisions"]] == ["ALLOW", "DENY"]
    assert report["plan"][0]["action"]["name"] == "diagnostics.memory"
    assert report["run"]["at"] == NOW.isoformat()
    assert report["run"]["packet"]["constraints"]["forbidden"] == []


async def test_what_ends_a_phase_and_the_entry_into_the_next_are_one_event() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.SAFE)
        safe = types(it.log)
        await it.process(Mode.AUTO, "r2")
        auto = types(it.log)[len(safe) :]
    entered = ["RunPhaseEntered"] * 2  # BOOTSTRAP and PREFLIGHT, PLAN
    package_on = ["RunVerified", "RunPackaged", "RunEnded"]
    assert safe == ["RunStarted", *entered, "PlanRecorded", "ActionsDecided", "EffectsObserved", *package_on]
    act = ["EffectIntended", "EffectsObserved", "RunPhaseEntered"]  # … VERIFY: an outcome waits for nothing
    assert auto == ["RunStarted", *entered, "PlanRecorded", "ActionsDecided", *act, *package_on]
    assert view.run.phase is ORDER[-1]


async def test_an_auto_run_acts_once_with_a_permit_and_an_intent_before() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
        kinds = types(it.log)
    assert view.run.state is RunState.COMPLETED
    assert list(at.actuators.done.values()) == ["permit:a1:1"]
    assert kinds.index("ActionsDecided") < kinds.index("EffectIntended") < kinds.index("EffectsObserved")


async def test_permits_never_reach_the_log() -> None:
    at = peers()
    async with house(at) as it:
        await it.process(Mode.AUTO)
        assert not any(b"permit:" in recorded.payload for recorded in it.log.recorded())


async def test_a_plain_denial_revokes_nobody() -> None:
    at = peers()
    async with house(at) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.decisions["a2"].verdict == "DENY"
    assert at.policy.revoked == {}
    assert at.state.errors == []


async def test_a_claim_without_a_line_is_no_plan() -> None:
    at = peers()

    def invent(task: Task) -> Proposal:
        honest = proposal(task)
        assert honest.incident is not None
        forged = replace(honest.incident.evidence[0], sha256="0" * 64)
        return replace(honest, incident=replace(honest.incident, evidence=(forged,)))

    async with house(at, think=invent) as it:
        view = await it.process(Mode.AUTO)
    assert view.run.plan is None
    assert at.actuators.done == {}
    assert view.run.state is RunState.REVOKED


async def test_the_same_request_is_the_same_run() -> None:
    at = peers()
    async with house(at) as it:
        first, second = await it.process(Mode.AUTO), await it.process(Mode.AUTO)
        assert first == second
        assert types(it.log).count("RunStarted") == 1
    assert len(at.actuators.done) == 1


async def test_the_same_request_id_of_somebody_else_is_another_run() -> None:
    ann, bob = cause("nightly"), replace(cause("nightly"), actor="key:bob")
    assert run_id_of(ann) == run_id_of(cause("nightly"))
    assert run_id_of(ann) != run_id_of(bob)
