"""What a double decides from: which actions are allowed, and what is found in a log. Both are given by the test."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from provost.orchestrator.v1 import incident_pb2
from provost.policy.v1 import policy_pb2


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of actions whose name matches `actions` (`*` stands for anything), in a run that may act."""

    actions: str
    verdict: str  # ALLOW, DENY or NEEDS_APPROVAL
    reason: str
    rule: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a line (or an objective) that matches `sign`, whatever its case, means, and which actions it calls for."""

    sign: str
    cause: str
    severity: str
    actions: tuple[str, ...]


RULES = (Rule("diagnostics.*", "ALLOW", "ALLOWED_BY_TIER", "tier.T0_OBSERVER"),)
UNKNOWN = Rule("*", "DENY", "ACTION_UNKNOWN", "tier.T1_OPERATOR")
FINDINGS = (
    Finding(r"out of memory", "memory", "critical", ("diagnostics.memory", "diagnostics.processes")),
    Finding(r"^memory$", "memory", "info", ("diagnostics.memory",)),
    Finding(r"no space left on device", "disk_full", "critical", ("diagnostics.disk",)),
)


def decided(
    rules: Sequence[Rule], action: policy_pb2.Action, mode: "policy_pb2.Mode.ValueType", number: str
) -> policy_pb2.Decision:
    """The decision on one action: the first rule that matches, then what the mode makes of a yes."""
    found = next((each for each in rules if fnmatchcase(action.name, each.actions)), UNKNOWN)
    made = policy_pb2.Decision(
        decision_id=number,
        action_id=action.action_id,
        verdict=policy_pb2.Verdict.Value(f"VERDICT_{found.verdict}"),
        reason=found.reason,
        rule=found.rule,
        tier=policy_pb2.TIER_T1_OPERATOR,
        policy_version="1",
        action_digest=f"sha256:{hashlib.sha256(action.SerializeToString(deterministic=True)).hexdigest()}",
    )
    if made.verdict != policy_pb2.VERDICT_ALLOW:
        return made
    if mode == policy_pb2.MODE_AUTO:
        made.permit = f"permit-{number}"
    elif mode == policy_pb2.MODE_ASSISTED:
        made.verdict, made.reason, made.rule = (
            policy_pb2.VERDICT_NEEDS_APPROVAL,
            "APPROVAL_REQUIRED",
            "mode.assisted",
        )
    else:
        made.reason = "ALLOWED_DRY_RUN"
        made.obligations.append("dry_run")
    return made


def found_in(
    findings: Sequence[Finding], text: str
) -> tuple[incident_pb2.Incident, list[incident_pb2.PlannedAction]]:
    """What is wrong, by which lines, and what to do: each finding by the first line that shows it."""
    incident = incident_pb2.Incident(severity="info", cause="none", confidence=1.0)
    plan: dict[str, incident_pb2.PlannedAction] = {}
    for number, line in enumerate(text.split("\n"), 1):
        for finding in findings:
            cited = f"L{number}"
            if not re.search(finding.sign, line, re.IGNORECASE) or any(
                finding.cause == each.cause for each in incident.claims
            ):
                continue
            if incident.cause == "none":
                incident.cause, incident.severity = finding.cause, finding.severity
            incident.evidence.add(
                evidence_id=cited, line=number, text=line, sha256=hashlib.sha256(line.encode()).hexdigest()
            )
            incident.claims.add(
                statement=line,
                cause=finding.cause,
                severity=finding.severity,
                confidence=1.0,
                evidence=[cited],
            )
            for name in finding.actions:
                planned = incident_pb2.PlannedAction(why=finding.cause, evidence=[cited])
                planned.action.name, planned.action.target = name, "localhost"
                planned.action.environment, planned.action.action_id = "sandbox", f"a{len(plan) + 1}"
                plan.setdefault(name, planned)
    return incident, list(plan.values())
