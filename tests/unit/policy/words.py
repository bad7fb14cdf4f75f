"""Words the policy tests share."""

from datetime import UTC, datetime, timedelta

from services.policy.adapters.policyset_yaml import YamlPolicySets
from services.policy.domain.action import Action, Mode, Packet
from services.policy.domain.agent import AGENT, Agent, AgentRegistered
from services.policy.domain.decision import Question
from services.policy.domain.policyset import PolicySet
from services.policy.domain.revocation import AgentRevoked
from services.policy.domain.tier import Tier

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SETS = YamlPolicySets()
DEFAULT = SETS.check(SETS.default_document)
PACKET = Packet("sre-1", "task-1")


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def action(
    name: str = "diagnostics.memory", environment: str = "sandbox", target: str = "localhost"
) -> Action:
    return Action("a1", name, target, environment, {})


ACTION = action()


def agent(tier: Tier = Tier.T1_OPERATOR, *, revoked: bool = False) -> Agent:
    events: list[AgentRegistered | AgentRevoked] = [AgentRegistered("sre-1", tier, "1.0", "role", AT)]
    if revoked:
        events.append(AgentRevoked("sre-1", "operator", "", "key:ops", AT))
    return AGENT.fold(events)


def question(
    asked: Action = ACTION,
    *,
    tier: Tier = Tier.T1_OPERATOR,
    mode: Mode | None = Mode.AUTO,
    agent_is: Agent | None = None,
    packet: Packet | None = PACKET,
    policy: PolicySet | None = DEFAULT,
) -> Question:
    return Question(asked, mode, "sre-1", "task-1", agent_is or agent(tier), packet, policy)
