"""What the process of the built-in crew gets for its agents, and no more."""

from dataclasses import replace

import pytest

from services.policy.domain.agent import AGENT, Agent, AgentRegistered, RegisterAgent
from services.policy.domain.crew import CREW, require_own
from services.policy.domain.faults import CrewsAgentTooMuch, NotTheCrews
from services.policy.domain.tier import Tier
from tests.unit.policy.words import AT

OWN = RegisterAgent("sre-1", Tier.T1_OPERATOR, "heuristic-1", "role-1", AT, by=CREW)


def registered(command: RegisterAgent) -> AgentRegistered:
    event = AGENT.decide(Agent(), command)
    assert isinstance(event, AgentRegistered)
    return event


@pytest.mark.parametrize("tier", [Tier.T0_OBSERVER, Tier.T1_OPERATOR])
def test_the_crew_registers_its_own(tier: Tier) -> None:
    event = registered(replace(OWN, tier=tier))
    assert (event.tier, event.registered_by) == (tier, CREW)
    require_own(CREW, event)


@pytest.mark.parametrize("tier", [Tier.T2_BUILDER, Tier.T3_EXECUTOR, Tier.T4_ARCHITECT])
def test_the_crew_registers_none_above_its_tier_not_even_again(tier: Tier) -> None:
    asked = replace(OWN, tier=tier)
    at_most = Agent("sre-1", tier, registered=registered(replace(OWN, tier=Tier.T3_EXECUTOR, by="key:root")))
    for agent in (Agent(), at_most):
        with pytest.raises(CrewsAgentTooMuch, match="T1_OPERATOR at most"):
            AGENT.decide(agent, asked)


def test_the_crew_registers_none_under_another() -> None:
    boss = Agent(
        "boss", Tier.T3_EXECUTOR, registered=registered(replace(OWN, agent_id="boss", by="key:root"))
    )
    with pytest.raises(CrewsAgentTooMuch):
        AGENT.decide(Agent(), replace(OWN, parent_agent_id="boss", parent=boss))


@pytest.mark.parametrize("by", ["key:root", "service:tests", "service:agents2", "agent:sre-1"])
def test_the_crew_gets_no_secret_for_the_agents_of_others_and_others_do(by: str) -> None:
    event = registered(replace(OWN, by=by))
    with pytest.raises(NotTheCrews, match="'sre-1' was not registered by the built-in crew"):
        require_own(CREW, event)
    require_own("key:root", event)


def test_before_registrations_said_by_whom_the_crews_were_known_by_their_version() -> None:
    require_own(CREW, registered(replace(OWN, by="", agent_version="heuristic-1")))
    for version in ("1.0", "", "heuristic-2"):
        with pytest.raises(NotTheCrews):
            require_own(CREW, registered(replace(OWN, by="", agent_version=version)))
