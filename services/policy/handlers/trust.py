"""Trust by outcome: whoever's record has changed is looked at, and moved as the rules of the set ask for.

Any replica may: what it does has an id made of what it rests on, and is refused if the agent's tier has moved since. So
history that is read again moves nobody again.
"""

from kernel.events import Cause, derived_hex, derived_id
from kernel.faults import Refused
from services.policy.domain.actor import POLICY
from services.policy.domain.agent import Agent, AgentState
from services.policy.domain.standing import DemoteAgent, Grounds, PromoteAgent
from services.policy.domain.tier import step, up_to
from services.policy.domain.track_record import Move, moves
from services.policy.handlers.policysets import PolicySets
from services.policy.handlers.promotions import Promotions, since_of
from services.policy.ports import Held, Means

ABOVE_PARENT = "parent.tier"


class Trust:
    def __init__(self, held: Held, sets: PolicySets, promotions: Promotions, means: Means) -> None:
        self._agents = held.agents
        self._records = held.records
        self._sets = sets
        self._promotions = promotions
        self._now = means.now

    async def settle(self, tenant: str, agent_id: str) -> None:
        """Do what there is to do about this agent's tier. Safe to repeat.

        Raises:
            Refused: what an approval or a rule asks for cannot be done.
            Unavailable: the log cannot be reached: try again.
        """
        agent = self._agents.current(tenant, agent_id)
        if agent.registered is None or agent.fell_with:
            return
        below = self._below_parent(tenant, agent)
        if below is not None:
            await self._move(tenant, agent, Move(below))
            return
        move = self._asked(tenant, agent)
        if move is not None and isinstance(move.command, DemoteAgent):
            # Before anybody's yes to a promotion, which was to another record.
            await self._move(tenant, agent, move)
            return
        unusable: Refused | None = None
        for approval_id in self._records.promotions(tenant, agent_id):
            try:
                await self._promotions.finish(tenant, approval_id)
            except Refused as fault:
                unusable = fault  # told below: it keeps nothing else from what is due
        agent = self._agents.current(tenant, agent_id)  # it may just have been promoted
        move = self._asked(tenant, agent)
        if move is not None:
            await self._move(tenant, agent, move)
        if unusable is not None:
            raise unusable

    def _asked(self, tenant: str, agent: Agent) -> Move | None:
        """What the rules in force ask for."""
        policy, record = self._sets.in_force(tenant), self._records.current(tenant, agent.agent_id)
        return None if policy is None else moves(record, agent, policy, self._now())

    async def _move(self, tenant: str, agent: Agent, move: Move) -> None:
        command, since = move.command, since_of(agent)
        rule = command.grounds.rule
        if isinstance(command, PromoteAgent):
            command = self._promotions.under_parent(tenant, command)
            if command.parent_tier is not None and command.to_tier not in up_to(command.parent_tier):
                return
            if move.needs_approval:
                if self._promotions.waiting(tenant, agent):
                    return
                row = f"{move.row}+{move.attempt}"
                request_id = derived_id(tenant, "trust", agent.agent_id, since, rule, row)
                cause = Cause(tenant, request_id, POLICY, self._now())
                approval_id = derived_hex(tenant, "promotion", request_id)
                if approval_id not in self._records.promotions(tenant, agent.agent_id):
                    await self._promotions.request(agent, command, approval_id, POLICY, cause)
                return
        request_id = derived_id(tenant, "trust", agent.agent_id, since, command.to_tier)
        await self._agents.handle(agent.agent_id, command, Cause(tenant, request_id, POLICY, self._now()))

    def _below_parent(self, tenant: str, agent: Agent) -> DemoteAgent | None:
        """An agent never stands above the one that controls it: when that one is demoted, so is this one."""
        registered = agent.registered
        if registered is None or not registered.parent_agent_id or agent.state is AgentState.REVOKED:
            return None
        parent, lower = self._agents.current(tenant, registered.parent_agent_id), step(agent.tier, -1)
        if lower is None or agent.tier in up_to(parent.tier):
            return None
        why = f"{parent.agent_id}, which controls it, is at {parent.tier}"
        policy = self._sets.in_force(tenant)
        grounds = Grounds(ABOVE_PARENT, why, POLICY, policy_version="" if policy is None else policy.version)
        return DemoteAgent(agent.agent_id, lower, grounds, self._now(), agent.tier_since)
