"""Between an analysis and the proposal that goes over the stream."""

from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import policy_pb2
from services.orchestrator.agents.actions import Tier
from services.orchestrator.agents.incident import Action, Analysis, Cycle, Incident
from services.orchestrator.agents.objective import AROUND, Look, looks_for
from services.orchestrator.agents.reflection import analyse

TARGET, ENVIRONMENT = "localhost", "sandbox"
NOT_KNOWN = (
    "nothing in the objective is known here, so this is a general look around instead "
    "(provost run --help lists the words that are known)"
)


def think(task: orchestrator_pb2.Task) -> orchestrator_pb2.Proposal:
    """What the built-in agent proposes: from the log, or from the objective when there is no log."""
    if not task.log:
        looks = looks_for(task.packet.objective)
        plan = [_look(n, look) for n, look in enumerate(looks or AROUND, start=1)]
        cycles = [] if looks else [incident_pb2.ReasoningCycle(number=1, belief=NOT_KNOWN)]
        return orchestrator_pb2.Proposal(run_id=task.run_id, plan=plan, cycles=cycles)
    reflective = task.strategy == orchestrator_pb2.STRATEGY_REFLECTIVE
    analysis = analyse(
        task.log.decode("utf-8", "replace"),
        strategy="reflective" if reflective else "classic",
        max_cycles=task.max_reasoning_cycles or 1,
        target_score=task.target_reasoning_score,
        reflection=reflective,
    )
    return proposal_of(task.run_id, analysis)


def proposal_of(run_id: str, analysis: Analysis) -> orchestrator_pb2.Proposal:
    """`analysis` as the message that answers the task of `run_id`."""
    return orchestrator_pb2.Proposal(
        run_id=run_id,
        incident=_incident(analysis.incident),
        plan=[_planned(n, action) for n, action in enumerate(analysis.plan.actions, start=1)],
        cycles=[_cycle(cycle) for cycle in analysis.cycles],
    )


def _incident(incident: Incident) -> incident_pb2.Incident:
    return incident_pb2.Incident(
        severity=incident.severity,
        cause=incident.cause,
        confidence=incident.confidence,
        summary=incident.summary,
        evidence=[
            incident_pb2.Evidence(evidence_id=each.id, line=each.line, text=each.text, sha256=each.sha256)
            for each in incident.evidence
        ],
        patterns=[
            incident_pb2.Pattern(
                template=each.template, count=each.count, first_line=each.first_line, last_line=each.last_line
            )
            for each in incident.patterns
        ],
        claims=[
            incident_pb2.Claim(
                statement=each.statement,
                cause=each.cause,
                severity=each.severity,
                confidence=each.confidence,
                evidence=[f"L{line}" for line in each.evidence],
            )
            for each in incident.claims
        ],
    )


def _planned(n: int, action: Action) -> incident_pb2.PlannedAction:
    return incident_pb2.PlannedAction(
        action=policy_pb2.Action(
            action_id=f"a{n}",
            name=action.name,
            target=action.target,
            environment=action.environment,
            parameters=action.parameters,
        ),
        least_tier=_tier(action.least_tier),
        why=action.why,
        evidence=action.evidence,
    )


def _look(n: int, look: Look) -> incident_pb2.PlannedAction:
    action = policy_pb2.Action(
        action_id=f"a{n}",
        name=look.action,
        target=TARGET,
        environment=ENVIRONMENT,
        parameters=look.parameters,
    )
    return incident_pb2.PlannedAction(action=action, least_tier=_tier(look.least_tier), why=look.why)


def _cycle(cycle: Cycle) -> incident_pb2.ReasoningCycle:
    return incident_pb2.ReasoningCycle(
        number=cycle.number,
        belief=cycle.belief,
        cause=cycle.cause,
        evidence=[f"L{line}" for line in cycle.evidence],
        score=cycle.score,
        criticism="; ".join(cycle.criticism),
        changed="; ".join(cycle.changed),
    )


def _tier(tier: Tier) -> policy_pb2.Tier.ValueType:
    return policy_pb2.Tier.Value(f"TIER_{tier}")
