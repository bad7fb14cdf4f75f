"""The doors: each service as the ports describe it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TypeAlias

from provost.ledger.v1 import ledger_pb2
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from provost.orchestrator.v1 import orchestrator_pb2
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from services.gateway.adapters.peers import Peer
from services.gateway.adapters.rules import RulesPeer
from services.gateway.adapters.state import StatePeer
from services.gateway.domain.callers import Caller
from services.gateway.domain.history import (
    ApprovalRecord,
    ApprovalRecordFilter,
    Chain,
    Promotion,
    PromotionFilter,
    Step,
    Violation,
    ViolationFilter,
    Watched,
    WatchFrom,
)
from services.gateway.domain.receipts import Receipt, RevokedAgent
from services.gateway.domain.records import (
    ActionFilter,
    Agent,
    AgentAction,
    AgentMetrics,
    Answer,
    Approval,
    ApprovalState,
    Erasure,
    Event,
    EventFilter,
    Listing,
    Page,
    Revocation,
    TreeHead,
    Verification,
)
from services.gateway.domain.runs import ProcessLog, Run, RunState, StartRun
from services.gateway.wire import history as history_wire
from services.gateway.wire import ledger as ledger_wire
from services.gateway.wire import policy as policy_wire
from services.gateway.wire import receipts as receipts_wire
from services.gateway.wire import runs as runs_wire

RUN_SECONDS = 300.0
REVOKE_SECONDS = 10.0
VERIFY_SECONDS = 120.0
BUNDLE_SECONDS = 120.0


Doors: TypeAlias = "tuple[OrchestratorPeer, PolicyPeer, LedgerPeer, StatePeer, RulesPeer]"


def doors_at(peers: Mapping[str, Peer]) -> Doors:
    """All of them, as `Gateway` has them."""
    return (
        OrchestratorPeer(peers["orchestrator"]),
        PolicyPeer(peers["policy"]),
        LedgerPeer(peers["ledger"]),
        StatePeer(peers["state"]),
        RulesPeer(peers["policy"]),
    )


class OrchestratorPeer:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = OrchestratorServiceStub(peer.channel)

    async def process_log(self, ask: ProcessLog, caller: Caller) -> Run:
        request = runs_wire.process_log_to_wire(ask)
        answer = await self._peer.ask(self._stub.ProcessLog, request, caller, RUN_SECONDS)
        return runs_wire.run_from_wire(answer.run)

    async def start_run(self, ask: StartRun, caller: Caller) -> Run:
        request = runs_wire.start_run_to_wire(ask)
        answer = await self._peer.ask(self._stub.StartRun, request, caller, 10.0)
        return runs_wire.run_from_wire(answer.run)

    async def run(self, run_id: str, wait_seconds: int, caller: Caller) -> Run:
        request = orchestrator_pb2.GetRunRequest(run_id=run_id, wait_seconds=wait_seconds)
        answer = await self._peer.ask(self._stub.GetRun, request, caller, wait_seconds + 5.0)
        return runs_wire.run_from_wire(answer.run)

    async def runs(self, state: RunState | None, page: Page, caller: Caller) -> Listing[Run]:
        request = orchestrator_pb2.ListRunsRequest(
            page_size=page.size, page_token=page.token, state=runs_wire.state_to_wire(state)
        )
        answer = await self._peer.ask(self._stub.ListRuns, request, caller)
        return Listing(tuple(runs_wire.run_from_wire(run) for run in answer.runs), answer.next_page_token)


class PolicyPeer:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = PolicyServiceStub(peer.channel)

    async def agents(self, page: Page, caller: Caller) -> Listing[Agent]:
        request = policy_pb2.ListAgentsRequest(page_size=page.size, page_token=page.token)
        answer = await self._peer.ask(self._stub.ListAgents, request, caller)
        agents = tuple(policy_wire.agent_from_wire(agent) for agent in answer.agents)
        return Listing(agents, answer.next_page_token)

    async def revoke_agent(self, ask: Revocation, caller: Caller) -> RevokedAgent:
        request, seconds = policy_wire.revocation_to_wire(ask), REVOKE_SECONDS + ask.wait_ms / 1000
        answer = await self._peer.ask(self._stub.RevokeAgent, request, caller, seconds)
        return receipts_wire.revoked_from_wire(answer)

    async def receipt(self, agent_id: str, caller: Caller) -> Receipt:
        request = policy_pb2.GetRevocationReceiptRequest(agent_id=agent_id)
        answer = await self._peer.ask(self._stub.GetRevocationReceipt, request, caller)
        return receipts_wire.receipt_from_wire(answer.receipt)

    async def approvals(
        self, state: ApprovalState | None, run_id: str, page: Page, caller: Caller
    ) -> Listing[Approval]:
        request = policy_wire.approvals_to_wire(state, run_id, page)
        answer = await self._peer.ask(self._stub.ListApprovals, request, caller)
        approvals = tuple(policy_wire.approval_from_wire(each) for each in answer.approvals)
        return Listing(approvals, answer.next_page_token)

    async def answer_approval(self, answer: Answer, caller: Caller) -> Approval:
        request = policy_wire.answer_to_wire(answer)
        answered = await self._peer.ask(self._stub.AnswerApproval, request, caller)
        return policy_wire.approval_from_wire(answered.approval)


class LedgerPeer:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = LedgerServiceStub(peer.channel)

    async def events(
        self, events: EventFilter, oldest_first: bool, page: Page, caller: Caller
    ) -> Listing[Event]:
        request = ledger_wire.events_to_wire(events, oldest_first, page)
        answer = await self._peer.ask(self._stub.ListEvents, request, caller)
        found = tuple(ledger_wire.event_from_wire(event) for event in answer.events)
        return Listing(found, answer.next_page_token)

    async def agent_actions(self, actions: ActionFilter, page: Page, caller: Caller) -> Listing[AgentAction]:
        request = ledger_wire.actions_to_wire(actions, page)
        answer = await self._peer.ask(self._stub.ListAgentActions, request, caller)
        found = tuple(ledger_wire.action_from_wire(action) for action in answer.actions)
        return Listing(found, answer.next_page_token)

    async def agent_metrics(self, agent_id: str, page: Page, caller: Caller) -> Listing[AgentMetrics]:
        request = ledger_pb2.ListAgentMetricsRequest(
            page_size=page.size, page_token=page.token, agent_id=agent_id
        )
        answer = await self._peer.ask(self._stub.ListAgentMetrics, request, caller)
        found = tuple(ledger_wire.metrics_from_wire(metrics) for metrics in answer.metrics)
        return Listing(found, answer.next_page_token)

    async def violations(self, wanted: ViolationFilter, page: Page, caller: Caller) -> Listing[Violation]:
        request = history_wire.violations_to_wire(wanted, page)
        answer = await self._peer.ask(self._stub.ListViolations, request, caller)
        found = tuple(map(history_wire.violation_from_wire, answer.violations))
        return Listing(found, answer.next_page_token)

    async def promotions(self, wanted: PromotionFilter, page: Page, caller: Caller) -> Listing[Promotion]:
        request = history_wire.promotions_to_wire(wanted, page)
        answer = await self._peer.ask(self._stub.ListPromotions, request, caller)
        found = tuple(map(history_wire.promotion_from_wire, answer.promotions))
        return Listing(found, answer.next_page_token)

    async def approval_records(
        self, wanted: ApprovalRecordFilter, page: Page, caller: Caller
    ) -> Listing[ApprovalRecord]:
        request = history_wire.approval_records_to_wire(wanted, page)
        answer = await self._peer.ask(self._stub.ListApprovalRecords, request, caller)
        found = tuple(map(history_wire.approval_record_from_wire, answer.approvals))
        return Listing(found, answer.next_page_token)

    async def event(self, event_id: str, caller: Caller) -> Event:
        request = ledger_pb2.GetEventRequest(event_id=event_id)
        return ledger_wire.event_from_wire((await self._peer.ask(self._stub.GetEvent, request, caller)).event)

    async def causes(self, event_id: str, effect_id: str, caller: Caller) -> Chain:
        request = ledger_pb2.TraceCausesRequest(event_id=event_id, effect_id=effect_id)
        return history_wire.chain_from_wire(await self._peer.ask(self._stub.TraceCauses, request, caller))

    async def replay(self, run_id: str, page: Page, caller: Caller) -> Listing[Step]:
        request = ledger_pb2.ReplayRunRequest(run_id=run_id, page_size=page.size, page_token=page.token)
        answer = await self._peer.ask(self._stub.ReplayRun, request, caller)
        return Listing(tuple(map(history_wire.step_from_wire, answer.steps)), answer.next_page_token)

    async def watch(
        self, events: EventFilter, begin: WatchFrom, caller: Caller
    ) -> AsyncGenerator[Watched, None]:
        request = history_wire.watch_to_wire(events, begin)
        answers = self._peer.ask_all(self._stub.WatchEvents, request, caller, None)
        async with aclosing(answers) as watching:
            async for answer in watching:
                yield history_wire.watched_from_wire(answer)

    async def tree_head(self, caller: Caller) -> TreeHead:
        answer = await self._peer.ask(self._stub.GetTreeHead, ledger_pb2.GetTreeHeadRequest(), caller)
        return ledger_wire.tree_head_from_wire(answer)

    async def verify(self, against_log: bool, caller: Caller) -> Verification:
        request = ledger_pb2.VerifyLedgerRequest(against_log=against_log)
        answer = await self._peer.ask(self._stub.VerifyLedger, request, caller, VERIFY_SECONDS)
        return ledger_wire.verification_from_wire(answer)

    async def erase(self, request_id: str, subject: str, reason: str, caller: Caller) -> Erasure:
        request = ledger_pb2.EraseSubjectRequest(request_id=request_id, subject=subject, reason=reason)
        return ledger_wire.erasure_from_wire(
            (await self._peer.ask(self._stub.EraseSubject, request, caller)).erasure
        )

    async def erasures(self, page: Page, caller: Caller) -> Listing[Erasure]:
        request = ledger_pb2.ListErasuresRequest(page_size=page.size, page_token=page.token)
        answer = await self._peer.ask(self._stub.ListErasures, request, caller)
        return Listing(tuple(map(ledger_wire.erasure_from_wire, answer.erasures)), answer.next_page_token)

    async def tile(self, level: int, index: int, width: int, caller: Caller) -> bytes:
        request = ledger_pb2.GetTileRequest(level=level, index=index, width=width)
        return (await self._peer.ask(self._stub.GetTile, request, caller)).hashes

    async def entries(self, index: int, width: int, caller: Caller) -> AsyncGenerator[bytes, None]:
        request = ledger_pb2.GetEntriesRequest(index=index, width=width)
        answers = self._peer.ask_all(self._stub.GetEntries, request, caller, BUNDLE_SECONDS)
        async with aclosing(answers) as pieces:
            async for answer in pieces:
                yield answer.piece
