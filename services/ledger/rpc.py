"""The ledger over gRPC: unwrap, ask, wrap. A caller sees the events of its own tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from chassis.rpc.cause import caller_of
from kernel.faults import Denied, Exhausted, Invalid
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceServicer
from services.ledger.domain.questions import AgentQuestion, ViolationQuestion, token_of
from services.ledger.handlers import Ledger
from services.ledger.handlers.exporting import Exports
from services.ledger.wire import answers as wire

READERS = frozenset({"viewer", "operator", "approver", "auditor", "admin", "service"})
# Verifying and rebuilding look across tenants and cost minutes of a disk; neither shows anyone's events.
KEEPERS = frozenset({"operator", "auditor", "admin", "service"})
REBUILDERS = frozenset({"admin", "service"})
AUDITORS = frozenset({"auditor", "admin"})
MENDERS = frozenset({"admin"})
# Tiles and entries are every tenant's: this one has the shard in its care.
SHARD_KEEPER = "default"
MAX_WAIT_SECONDS = 25
READ_SECONDS = 60.0


class LedgerServicer(LedgerServiceServicer):
    """Shows, proves, verifies, rebuilds, exports."""

    def __init__(self, ledger: Ledger, exports: Exports, *, read_seconds: float = READ_SECONDS) -> None:
        self._ledger = ledger
        self._exports = exports
        self._read_seconds = read_seconds

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        question = wire.event_question(_tenant(context, READERS), request)
        found = await self._ledger.answers.events(question, request.page_size, request.page_token)
        return wire.events_to_wire(question, found, self._ledger.position)

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.GetEventResponse:
        entry = await self._ledger.answers.event(_tenant(context, READERS), request.event_id)
        return pb.GetEventResponse(event=wire.event_to_wire(entry, self._ledger.position))

    async def ListAgentActions(
        self, request: pb.ListAgentActionsRequest, context: Any
    ) -> pb.ListAgentActionsResponse:
        question = wire.action_question(_tenant(context, READERS), request)
        found = await self._ledger.answers.actions(question, request.page_size, request.page_token)
        return pb.ListAgentActionsResponse(
            actions=[wire.action_to_wire(each) for each in found.rows],
            next_page_token=token_of(question, found.end),
        )

    async def ListAgentMetrics(
        self, request: pb.ListAgentMetricsRequest, context: Any
    ) -> pb.ListAgentMetricsResponse:
        question = AgentQuestion(_tenant(context, READERS))
        found = await self._ledger.answers.agents(question, request.page_size, request.page_token)
        return pb.ListAgentMetricsResponse(
            metrics=[wire.agent_to_wire(each) for each in found.rows],
            next_page_token=token_of(question, found.end),
        )

    async def ListViolations(
        self, request: pb.ListViolationsRequest, context: Any
    ) -> pb.ListViolationsResponse:
        question = ViolationQuestion(_tenant(context, READERS), request.agent_id)
        found = await self._ledger.answers.violations(question, request.page_size, request.page_token)
        return pb.ListViolationsResponse(
            violations=[wire.violation_to_wire(each) for each in found.rows],
            next_page_token=token_of(question, found.end),
        )

    async def GetTreeHead(self, request: pb.GetTreeHeadRequest, context: Any) -> pb.GetTreeHeadResponse:
        _tenant(context, READERS)
        head = await self._ledger.tree_head(request.at_least_sequence)
        return pb.GetTreeHeadResponse(
            tree_head=wire.head_to_wire(head), verifier_key=self._ledger.verifier_key
        )

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Any
    ) -> pb.GetInclusionProofResponse:
        tenant = _tenant(context, READERS)
        if not request.HasField("leaf_index"):
            return wire.inclusion_to_wire(
                await self._ledger.inclusion(tenant, request.event_id, request.tree_size)
            )
        _keep(context)
        if request.event_id:
            raise Invalid("FIELD_INVALID", "give event_id or leaf_index, not both", field="leaf_index")
        return wire.inclusion_to_wire(await self._ledger.inclusion_at(request.leaf_index, request.tree_size))

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Any
    ) -> pb.GetConsistencyProofResponse:
        _tenant(context, READERS)
        path, to_size = await self._ledger.consistency(request.from_size, request.to_size)
        return pb.GetConsistencyProofResponse(path=path, to_size=to_size)

    async def AwaitSequence(self, request: pb.AwaitSequenceRequest, context: Any) -> pb.AwaitSequenceResponse:
        _tenant(context, READERS)
        seconds = min(max(request.timeout_seconds, 0), MAX_WAIT_SECONDS)
        return pb.AwaitSequenceResponse(sequence=await self._ledger.wait(request.sequence, seconds))

    async def AwaitInclusion(
        self, request: pb.AwaitInclusionRequest, context: Any
    ) -> pb.AwaitInclusionResponse:
        tenant = _tenant(context, READERS)
        seconds = min(max(request.timeout_seconds, 0), MAX_WAIT_SECONDS)
        proof = await self._ledger.await_inclusion(tenant, request.event_id, seconds)
        return pb.AwaitInclusionResponse(proof=wire.inclusion_to_wire(proof))

    async def GetTile(self, request: pb.GetTileRequest, context: Any) -> pb.GetTileResponse:
        _keep(context)
        hashes = await self._ledger.tiles.tile(request.level, request.index, request.width)
        return pb.GetTileResponse(hashes=hashes)

    async def GetEntries(
        self, request: pb.GetEntriesRequest, context: Any
    ) -> AsyncIterator[pb.GetEntriesResponse]:
        _keep(context)
        async with aclosing(self._ledger.tiles.entries(request.index, request.width)) as pieces:
            async for piece in pieces:
                yield pb.GetEntriesResponse(piece=piece)

    async def VerifyLedger(self, request: pb.VerifyLedgerRequest, context: Any) -> pb.VerifyLedgerResponse:
        _tenant(context, KEEPERS)
        return wire.verdict_to_wire(await self._ledger.verify(against_log=request.against_log))

    async def RebuildLedger(
        self, request: pb.RebuildLedgerRequest, context: Any
    ) -> AsyncIterator[pb.RebuildLedgerResponse]:
        _tenant(context, REBUILDERS)
        async with aclosing(self._ledger.rebuild()) as built:
            async for progress in built:
                yield wire.progress_to_wire(progress)

    # Written rather than yielded, so that an export nobody reads does not keep others from theirs.
    async def ExportLedger(  # type: ignore[override]
        self, request: pb.ExportLedgerRequest, context: Any
    ) -> None:
        _keep(context)
        async with aclosing(self._exports.export(parquet=not request.without_parquet)) as pieces:
            async for piece, target in pieces:
                answer = pb.ExportLedgerResponse(
                    path=piece.path, piece=piece.data, events=piece.events, target=target
                )
                try:
                    async with asyncio.timeout(self._read_seconds):
                        await context.write(answer)
                except TimeoutError:
                    raise Exhausted(
                        "DEADLINE_EXCEEDED", f"nothing was read for {self._read_seconds:g} s: begin again"
                    ) from None

    async def RepairLog(self, request: pb.RepairLogRequest, context: Any) -> pb.RepairLogResponse:
        _keep(context, MENDERS)
        repaired = await self._ledger.repair(dry_run=request.dry_run)
        return pb.RepairLogResponse(
            first_sequence=repaired.first, last_sequence=repaired.last, published=repaired.published
        )


def _keep(context: Any, roles: frozenset[str] = AUDITORS) -> None:
    """Let only those through who may see what every tenant has in this shard.

    Raises:
        Denied: no auditor or administrator, or not of the tenant that keeps the shard.
    """
    if _tenant(context, roles) != SHARD_KEEPER:
        text = f"this is about what every tenant has: it needs {' or '.join(sorted(roles))} of tenant {SHARD_KEEPER}"
        raise Denied("TENANT_MISMATCH", text, actor=caller_of(context).actor)


def _tenant(context: Any, roles: frozenset[str]) -> str:
    """Whose events the caller may see.

    Raises:
        Denied: it has none of `roles`.
    """
    caller = caller_of(context)
    if not caller.roles & roles:
        raise Denied(
            "ROLE_MISSING", f"this needs one of the roles {', '.join(sorted(roles))}", actor=caller.actor
        )
    return caller.tenant
