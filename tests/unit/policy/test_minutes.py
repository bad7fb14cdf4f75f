"""What is written down of a decision: each text in the field that is called so."""

from dataclasses import asdict

from kernel.events import Cause
from services.policy.adapters.signing import digest_of
from services.policy.domain.action import Action, Mode, RunContext
from services.policy.domain.amounts import Amounts
from services.policy.domain.decision import Judgement, Verdict
from services.policy.domain.tier import Tier
from services.policy.handlers.ask import Ask, Facts
from services.policy.handlers.minutes import Minutes
from tests.unit.policy.words import AT, DEFAULT, PACKET, agent

ASKED = Action("an-action", "node.drain", "web1", "production", {"grace": "30"})
CONTEXT = RunContext("a-run", "a-task", "sre-1", Mode.ASSISTED)


def test_every_field_of_a_record_is_what_it_is_called() -> None:
    ask = Ask(CONTEXT, (ASKED,), {"an-action": "an-approval"}, {"an-action": Amounts(tokens=7)})
    facts = Facts(agent(Tier.T2_BUILDER), PACKET, DEFAULT, ("secret",), ("PLAN",))
    minutes = Minutes(ask, facts, Cause("default", "r", "service:x", AT), None, digest_of, trusted=True)
    (named,) = minutes.names
    judgement = Judgement(Verdict.ALLOW, "a-rule", "A_REASON", "an explanation.")
    assert asdict(minutes.of(ASKED, named, judgement)) == {
        "decision_id": named[1],
        "agent_id": "sre-1",
        "run_id": "a-run",
        "task_id": "a-task",
        "action": asdict(ASKED),
        "mode": Mode.ASSISTED,
        "verdict": Verdict.ALLOW,
        "rule": "a-rule",
        "reason": "A_REASON",
        "explanation": "an explanation.",
        "tier": Tier.T2_BUILDER,
        "policy_version": DEFAULT.version,
        "action_digest": digest_of(ASKED),
        "approval_id": "an-approval",
        "agent_version": "1.0",
        "at": AT,
        "labels": ("secret",),
        "steps_done": ("PLAN",),
        "cost": asdict(Amounts(tokens=7)),
    }
