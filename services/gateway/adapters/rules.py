"""The door to policy's rules: sets, explanations, simulations, budgets, and agents' standing."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from provost.policy.v1 import policy_pb2 as pb
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.gateway.adapters.peers import Peer
from services.gateway.domain.callers import Caller
from services.gateway.domain.records import Agent, Listing, Page
from services.gateway.domain.rules import (
    AskWhy,
    Explained,
    Publish,
    RollBack,
    SetInForce,
    SetListed,
    SetsCompared,
    SetShown,
    SetValidated,
    Simulate,
    Simulated,
)
from services.gateway.domain.standing import Budget, Move, Promoted, Register, SetBudget
from services.gateway.wire import policy as policy_wire
from services.gateway.wire import rules

VALIDATE_SECONDS = 60.0
PUBLISH_SECONDS = 600.0  # a set that is to be simulated first takes as long as there is history
SIMULATE_SECONDS = 3600.0


class RulesPeer:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = PolicyServiceStub(peer.channel)

    async def shown(self, version: str, caller: Caller) -> SetShown:
        request = pb.GetPolicySetRequest(version=version)
        answer = await self._peer.ask(self._stub.GetPolicySet, request, caller)
        return SetShown(answer.version, answer.document, answer.sequence)

    async def versions(self, page: Page, caller: Caller) -> Listing[SetListed]:
        request = pb.ListPolicySetsRequest(page_size=page.size, page_token=page.token)
        answer = await self._peer.ask(self._stub.ListPolicySets, request, caller)
        return Listing(tuple(map(rules.listed_from_wire, answer.sets)), answer.next_page_token)

    async def validate(self, document: str, caller: Caller) -> SetValidated:
        request = pb.ValidatePolicySetRequest(document=document)
        answer = await self._peer.ask(self._stub.ValidatePolicySet, request, caller, VALIDATE_SECONDS)
        return rules.validated_from_wire(answer)

    async def compare(self, old_version: str, version: str, document: str, caller: Caller) -> SetsCompared:
        request = pb.DiffPolicySetsRequest(
            old_version=old_version, new_version=version, new_document=document
        )
        answer = await self._peer.ask(self._stub.DiffPolicySets, request, caller, VALIDATE_SECONDS)
        return rules.compared_from_wire(answer)

    async def publish(self, ask: Publish, caller: Caller) -> SetInForce:
        request = pb.PublishPolicySetRequest(
            request_id=ask.request_id, document=ask.document, replaces_version=ask.replaces, why=ask.why
        )
        answer = await self._peer.ask(self._stub.PublishPolicySet, request, caller, PUBLISH_SECONDS)
        return rules.in_force_from_wire(answer)

    async def roll_back(self, ask: RollBack, caller: Caller) -> SetInForce:
        request = pb.RollbackPolicySetRequest(
            request_id=ask.request_id, to_version=ask.version, replaces_version=ask.replaces, why=ask.why
        )
        answer = await self._peer.ask(self._stub.RollbackPolicySet, request, caller, PUBLISH_SECONDS)
        return SetInForce(answer.version, answer.sequence)

    async def explain(self, ask: AskWhy, caller: Caller) -> Explained:
        return rules.explained_from_wire(
            await self._peer.ask(self._stub.Explain, rules.why_to_wire(ask), caller)
        )

    async def simulate(self, ask: Simulate, caller: Caller) -> AsyncGenerator[Simulated, None]:
        request = rules.simulate_to_wire(ask)
        answers = self._peer.ask_all(self._stub.SimulatePolicySet, request, caller, SIMULATE_SECONDS)
        async with aclosing(answers) as telling:
            async for answer in telling:
                yield rules.simulated_from_wire(answer)

    async def budgets(
        self, run_id: str, agent_id: str, task_id: str, page: Page, caller: Caller
    ) -> Listing[Budget]:
        request = rules.budgets_to_wire(run_id, agent_id, task_id, page)
        answer = await self._peer.ask(self._stub.ListBudgets, request, caller)
        return Listing(tuple(map(rules.budget_from_wire, answer.budgets)), answer.next_page_token)

    async def set_budget(self, ask: SetBudget, caller: Caller) -> Budget:
        answer = await self._peer.ask(self._stub.SetBudget, rules.budget_to_wire(ask), caller)
        return rules.budget_from_wire(answer.budget)

    async def agent(self, agent_id: str, caller: Caller) -> Agent:
        answer = await self._peer.ask(self._stub.GetAgent, pb.GetAgentRequest(agent_id=agent_id), caller)
        return policy_wire.agent_from_wire(answer.agent)

    async def register(self, ask: Register, caller: Caller) -> Agent:
        request = pb.RegisterAgentRequest(
            request_id=ask.request_id,
            agent_id=ask.agent_id,
            tier=pb.Tier.Value(f"TIER_{ask.tier}"),
            agent_version=ask.agent_version,
            parent_agent_id=ask.parent_agent_id,
        )
        return policy_wire.agent_from_wire(
            (await self._peer.ask(self._stub.RegisterAgent, request, caller)).agent
        )

    async def suspend(self, ask: Move, caller: Caller) -> Agent:
        request = pb.SuspendAgentRequest(request_id=ask.request_id, agent_id=ask.agent_id, why=ask.why)
        return policy_wire.agent_from_wire(
            (await self._peer.ask(self._stub.SuspendAgent, request, caller)).agent
        )

    async def resume(self, ask: Move, caller: Caller) -> Agent:
        request = pb.ResumeAgentRequest(request_id=ask.request_id, agent_id=ask.agent_id, why=ask.why)
        return policy_wire.agent_from_wire(
            (await self._peer.ask(self._stub.ResumeAgent, request, caller)).agent
        )

    async def promote(self, ask: Move, caller: Caller) -> Promoted:
        request = pb.PromoteAgentRequest(
            request_id=ask.request_id,
            agent_id=ask.agent_id,
            to_tier=pb.Tier.Value(f"TIER_{ask.to_tier}"),
            why=ask.why,
        )
        answer = await self._peer.ask(self._stub.PromoteAgent, request, caller)
        approval = policy_wire.approval_from_wire(answer.approval) if answer.HasField("approval") else None
        return Promoted(policy_wire.agent_from_wire(answer.agent), approval)

    async def demote(self, ask: Move, caller: Caller) -> Agent:
        request = pb.DemoteAgentRequest(
            request_id=ask.request_id,
            agent_id=ask.agent_id,
            to_tier=pb.Tier.Value(f"TIER_{ask.to_tier}"),
            why=ask.why,
        )
        return policy_wire.agent_from_wire(
            (await self._peer.ask(self._stub.DemoteAgent, request, caller)).agent
        )
