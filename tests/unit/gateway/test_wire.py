"""Runs, approvals and rows as they cross: nothing is lost but what must not be shown."""

import math
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import policy_pb2
from services.gateway.domain.runs import Mode, ProcessLog, RunState, Strategy
from services.gateway.wire.ledger import action_from_wire
from services.gateway.wire.policy import approval_from_wire
from services.gateway.wire.runs import process_log_to_wire, run_from_wire, state_to_wire
from services.gateway.wire.values import stamp_of

ACTION = policy_pb2.Action(
    action_id="a1", name="ansible.check", target="localhost", environment="sandbox", parameters={"play": "x"}
)


def full_run() -> orchestrator_pb2.Run:
    return orchestrator_pb2.Run(
        run_id="r",
        task_id="t",
        agent_id="sre-1",
        mode=policy_pb2.MODE_ASSISTED,
        state=orchestrator_pb2.RUN_STATE_WAITING,
        phase=orchestrator_pb2.PHASE_EXECUTE,
        source=orchestrator_pb2.Source(lines=3, replaced_bytes=2, redactions={"aws_key": 1}),
        incident=incident_pb2.Incident(
            severity="high",
            cause="disk_full",
            confidence=0.5,
            evidence=[incident_pb2.Evidence(evidence_id="e1", line=2, text="full", sha256="ab")],
            patterns=[incident_pb2.Pattern(template="<*> full", count=4, first_line=1, last_line=9)],
            claims=[incident_pb2.Claim(statement="s", cause="disk_full", evidence=["e1"])],
        ),
        plan=[
            incident_pb2.PlannedAction(
                action=ACTION, least_tier=policy_pb2.TIER_T1_OPERATOR, why="w", evidence=["e1"]
            )
        ],
        decisions=[
            policy_pb2.Decision(
                decision_id="d",
                action_id="a1",
                verdict=policy_pb2.VERDICT_ALLOW,
                rule="tier.T1_OPERATOR",
                permit="SECRET-PERMIT",
                tier=policy_pb2.TIER_T1_OPERATOR,
            )
        ],
        effects=[orchestrator_pb2.Effect(effect_id="f", state=orchestrator_pb2.EFFECT_STATE_SUCCEEDED)],
        checks=[orchestrator_pb2.Check(name="c", ok=True)],
        cycles=[incident_pb2.ReasoningCycle(number=1, belief="b", score=0.75)],
        past=[
            orchestrator_pb2.PastIncident(
                similarity=0.8,
                seen=3,
                last_run_id="r-0",
                last_outcome="looked",
                tried=[orchestrator_pb2.PastAction(name="diagnostics.disk", succeeded=2, helped=1)],
            )
        ],
        include_trace=True,
        waiting_for=["p1"],
        sequence=99,
        strategy=orchestrator_pb2.STRATEGY_REFLECTIVE,
        start_time=Timestamp(seconds=1_767_225_600),
    )


def test_a_run_crosses_whole_but_for_its_permits() -> None:
    run = run_from_wire(full_run())
    assert (run.state, run.mode, run.strategy, run.phase) == ("WAITING", "assisted", "reflective", "EXECUTE")
    assert run.incident is not None
    assert run.incident.evidence[0].line == 2
    assert run.incident.patterns[0].last_line == 9
    assert run.plan[0].least_tier == "T1_OPERATOR"
    assert run.plan[0].parameters == {"play": "x"}
    assert run.decisions[0].decision == "ALLOW"
    assert run.outcome.effects[0].state == "SUCCEEDED"
    assert (run.past_incidents[0].seen, run.past_incidents[0].tried[0].helped) == (3, 1)
    assert run.source is not None
    assert run.source.redactions == {"aws_key": 1}
    assert run.start_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.end_time is None
    assert run.trace is not None
    assert "PERMIT" not in repr(run)


def test_a_trace_that_was_not_asked_for_does_not_cross() -> None:
    message = full_run()
    message.include_trace = False
    assert run_from_wire(message).trace is None


def test_a_run_that_has_only_begun() -> None:
    run = run_from_wire(orchestrator_pb2.Run(run_id="r", state=orchestrator_pb2.RUN_STATE_RUNNING))
    assert (run.incident, run.source, run.plan, run.phase) == (None, None, (), "")


def test_words_newer_than_this_gateway_do_not_break_it() -> None:
    message = orchestrator_pb2.Run(run_id="r", phase=77, state=78)  # type: ignore[arg-type]
    assert run_from_wire(message).phase == ""


def test_what_is_asked_crosses() -> None:
    ask = ProcessLog("q", b"\xff", Mode.AUTO, Strategy.CLASSIC, False, "sre-1", ("x.*",))
    message = process_log_to_wire(ask)
    assert (message.request_id, message.log, message.mode) == ("q", b"\xff", policy_pb2.MODE_AUTO)
    assert (message.strategy, list(message.forbidden)) == (orchestrator_pb2.STRATEGY_CLASSIC, ["x.*"])
    assert state_to_wire(None) == orchestrator_pb2.RUN_STATE_UNSPECIFIED
    assert state_to_wire(RunState.REVOKED) == orchestrator_pb2.RUN_STATE_REVOKED


def test_an_action_without_an_outcome_has_none() -> None:
    assert action_from_wire(ledger_pb2.AgentAction(decision="DENY")).success is None
    assert action_from_wire(ledger_pb2.AgentAction(decision="ALLOW", success=False)).success is False


def test_an_approval_shows_exactly_what_is_approved() -> None:
    approval = approval_from_wire(
        policy_pb2.Approval(approval_id="p", action=ACTION, action_digest="sha256:1")
    )
    assert (approval.action, approval.target, approval.parameters) == (
        "ansible.check",
        "localhost",
        {"play": "x"},
    )


@pytest.mark.parametrize(
    ("given", "crosses"),
    [
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999Z"),
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
    ],
)
def test_what_an_offset_leads_out_of_the_calendar_is_its_end(given: str, crosses: str) -> None:
    stamp = stamp_of(datetime.fromisoformat(given))
    assert stamp is not None
    assert stamp.ToJsonString() == crosses


def test_times_cross_to_the_microsecond() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    stamp = stamp_of(at)
    assert stamp is not None
    assert stamp.ToDatetime(tzinfo=UTC) == at
    assert stamp_of(None) is None


def test_a_number_that_json_cannot_tell_keeps_nobody_from_the_run() -> None:
    run = full_run()
    run.incident.confidence = run.incident.claims[0].confidence = math.nan
    run.cycles.add(score=math.inf)
    read = run_from_wire(run)
    assert read.incident is not None
    assert read.trace is not None
    assert (read.incident.confidence, read.incident.claims[0].confidence, read.trace[-1].score) == (0, 0, 0)
