"""Tiers moved up and down: by a person, by a rule, or by a rule or a person once people have approved it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from kernel.events import Cause, derived_hex, derived_id
from kernel.ports import Aggregates, Following
from services.policy.domain.action import Action
from services.policy.domain.actor import POLICY
from services.policy.domain.agent import AGENT, Agent, AgentState
from services.policy.domain.agent import Command as AgentCommand
from services.policy.domain.approval import Approval, ApprovalState, RequestApproval, UseApproval
from services.policy.domain.demand import GOVERNED, PROMOTE, Demand, asked_of_promotion
from services.policy.domain.faults import ApprovalMismatch
from services.policy.domain.standing import DemoteAgent, Grounds, PromoteAgent
from services.policy.domain.tier import Tier
from services.policy.domain.track_record import TrackRecord
from services.policy.handlers.approvals import ShownApproval, shown_approval
from services.policy.handlers.known import found_agent
from services.policy.handlers.policysets import PolicySets
from services.policy.ports import Held, Means


class Promotions:
    def __init__(self, held: Held, sets: PolicySets, following: Following, means: Means) -> None:
        self._held = held
        self._following = following
        self._agents: Aggregates[Agent, AgentCommand] = held.agents
        self._approvals = held.approvals
        self._records = held.records
        self._sets = sets
        self._digest = means.digest
        self._now = means.now

    def record(self, tenant: str, agent_id: str) -> TrackRecord:
        """What the agent has shown of itself."""
        return self._records.current(tenant, agent_id)

    async def promote(
        self, agent_id: str, to_tier: Tier, why: str, cause: Cause
    ) -> tuple[Agent, int, ShownApproval | None]:
        """One tier up, because a person says so; the approval that it waits for, if it is to T4.

        Raises:
            AgentUnknown, AgentIsRevoked, TierStepTooLarge, ParentInvalid, ApproverNotAPerson
        """
        agent = await found_agent(self._held, self._following, cause.tenant, agent_id)
        command = self.under_parent(
            cause.tenant, PromoteAgent(agent_id, to_tier, self._by_hand(agent_id, why, cause), cause.at)
        )
        if to_tier is not Tier.T4_ARCHITECT or AGENT.decide(agent, command) is None:
            appended = await self._agents.handle(agent_id, command, cause.about(to_tier))
            return self._agents.current(cause.tenant, agent_id), appended.sequence, None
        waiting = self.waiting(cause.tenant, agent)
        if waiting:
            head = self._approvals.head(cause.tenant, waiting)
            return agent, head.sequence, self._shown(cause.tenant, waiting)
        approval_id = derived_hex(cause.tenant, "promotion", cause.request_id)
        sequence = await self.request(agent, command, approval_id, cause.actor, cause)
        return agent, sequence, self._shown(cause.tenant, approval_id)

    async def demote(self, agent_id: str, to_tier: Tier, why: str, cause: Cause) -> tuple[Agent, int]:
        """One tier down, at once.

        Raises:
            AgentUnknown, AgentIsRevoked, TierStepTooLarge
        """
        await found_agent(self._held, self._following, cause.tenant, agent_id)
        command = DemoteAgent(agent_id, to_tier, self._by_hand(agent_id, why, cause), cause.at)
        appended = await self._agents.handle(agent_id, command, cause.about(to_tier))
        return self._agents.current(cause.tenant, agent_id), appended.sequence

    async def request(
        self, agent: Agent, command: PromoteAgent, approval_id: str, by: str, cause: Cause
    ) -> int:
        """Ask people for a promotion; safe to repeat with the same id. Returns the sequence."""
        action = Action("", PROMOTE, agent.agent_id, GOVERNED, _parameters(agent, command))
        demand = self._demand(cause.tenant, agent.tier)
        asked = RequestApproval(
            approval_id=approval_id,
            action=action,
            action_digest=self._digest(action),
            run_id="",
            task_id="",
            agent_id=agent.agent_id,
            requested_by=by,
            why=command.grounds.why,
            at=cause.at,
            expire_time=cause.at + timedelta(seconds=demand.ttl_seconds),
            rule=demand.rule,
            needed=demand.needed,
            approvers=demand.approvers,
            parts=demand.parts,
        )
        return (await self._approvals.handle(approval_id, asked, cause)).sequence

    async def finish(self, tenant: str, approval_id: str) -> None:
        """Promote whom an approval was given for; any replica may, once. Not if it is about a tier of the past.

        Who is suspended is not promoted before it is resumed.

        Raises:
            Refused: the rules ask for more people now, it expired before it could be used, or the agent has broken
                rules since people were shown its record.
        """
        approval, now = self._approvals.current(tenant, approval_id), self._now()
        requested, answered = approval.requested, approval.answered
        if requested is None or answered is None or not _ours(approval):
            return
        if approval.state_at(now) not in (ApprovalState.APPROVED, ApprovalState.USED):
            return
        agent, said = self._agents.current(tenant, requested.agent_id), requested.action.parameters
        if (
            agent.state is not AgentState.ACTIVE
            or agent.tier_since is None
            or said["since"] != since_of(agent)
        ):
            return
        if self._records.current(tenant, agent.agent_id).violations_at_tier > int(said["violations"]):
            raise ApprovalMismatch(approval_id, "record (with fewer violations)")
        head = self._approvals.head(tenant, approval_id)
        decision_id = derived_id(tenant, "promoted", approval_id)
        cause = Cause(tenant, decision_id, POLICY, now, causation_id=head.event_id)
        grounds = Grounds(
            said["rule"],
            requested.why,
            answered.by,
            approval_id,
            said["policy_version"],
            int(said["compliant_in_row"]),
            int(said["violations"]),
            tuple(filter(None, said["run_ids"].split(","))),
        )
        command = self.under_parent(
            tenant, PromoteAgent(agent.agent_id, Tier(said["to"]), grounds, now, agent.tier_since)
        )
        AGENT.decide(agent, command)  # what cannot be done spends no approval
        use = UseApproval(
            approval_id=approval_id,
            decision_id=decision_id,
            action_digest=requested.action_digest,
            run_id="",
            agent_id=agent.agent_id,
            at=now,
            demand=self._demand(tenant, agent.tier),
        )
        await self._approvals.handle(approval_id, use, cause)
        await self._agents.handle(agent.agent_id, command, cause)

    def under_parent(self, tenant: str, command: PromoteAgent) -> PromoteAgent:
        """`command`, told the tier of the agent that controls this one, if one does."""
        registered = self._agents.current(tenant, command.agent_id).registered
        if registered is None or not registered.parent_agent_id:
            return command
        parent = self._agents.current(tenant, registered.parent_agent_id)
        return replace(command, parent_agent_id=parent.agent_id, parent_tier=parent.tier)

    def _by_hand(self, agent_id: str, why: str, cause: Cause) -> Grounds:
        """What a person says, beside what the agent has shown so far."""
        policy, record = self._sets.in_force(cause.tenant), self._records.current(cause.tenant, agent_id)
        return Grounds(
            "",
            why,
            cause.actor,
            "",
            "" if policy is None else policy.version,
            record.compliant_in_row,
            record.violations_at_tier,
            record.run_ids,
        )

    def _demand(self, tenant: str, tier: Tier) -> Demand:
        policy = self._sets.in_force(tenant)
        return Demand("promotion") if policy is None else asked_of_promotion(policy, tier)

    def waiting(self, tenant: str, agent: Agent) -> str:
        """The approval that the agent's promotion from this tier waits for already."""
        for approval_id in self._records.promotions(tenant, agent.agent_id):
            approval = self._approvals.current(tenant, approval_id)
            pending = approval.state_at(self._now()) is ApprovalState.PENDING
            asked = approval.requested
            if pending and asked is not None and asked.action.parameters["since"] == since_of(agent):
                return approval_id
        return ""

    def _shown(self, tenant: str, approval_id: str) -> ShownApproval:
        return shown_approval(self._approvals.current(tenant, approval_id), approval_id, self._now())


def _ours(approval: Approval) -> bool:
    """Policy requested it: nobody else's request is of no run."""
    requested = approval.requested
    return requested is not None and requested.action.name == PROMOTE and not requested.run_id


def since_of(agent: Agent) -> str:
    """Since when it has its tier, as an approval's parameters and a request's id say it."""
    return "" if agent.tier_since is None else agent.tier_since.isoformat()


def _parameters(agent: Agent, command: PromoteAgent) -> Mapping[str, str]:
    """Everything the promotion rests on, so that it is what people approve, and nothing else."""
    grounds = command.grounds
    return {
        "from": agent.tier.value,
        "to": command.to_tier.value,
        "since": since_of(agent),
        "rule": grounds.rule,
        "policy_version": grounds.policy_version,
        "compliant_in_row": str(grounds.compliant_in_row),
        "violations": str(grounds.violations),
        "run_ids": ",".join(grounds.run_ids),
    }
