"""The ledger over gRPC: unwrap, ask, wrap. A caller sees the events of its own tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from chassis.process import monotonic
from chassis.rpc.cause import Context, admitted
from kernel.faults import Exhausted, Invalid
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.handlers import Ledger
from services.ledger.handlers.causes import Causes
from services.ledger.handlers.erasing import Erasing
from services.ledger.handlers.exporting import Exports
from services.ledger.rpc.callers import KEEPERS, MENDERS, READERS, REBUILDERS, admit_keeper
from services.ledger.rpc.erasing import ErasingRpc
from services.ledger.rpc.reading import READ_SECONDS, Reading
from services.ledger.wire import answers as wire

MAX_WAIT_SECONDS = 25
AS_PUBLISHED = frozenset({"ExportLedgerResponse", "GetEntriesResponse"})
"""Answers whose seals are not opened: they hold what was published."""


class LedgerServicer(ErasingRpc, Reading):
    """Shows, proves, verifies, rebuilds, exports."""

    def __init__(
        self,
        ledger: Ledger,
        exports: Exports,
        causes: Causes,
        erasing: Erasing,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        super().__init__(ledger, causes, read_seconds=read_seconds)
        self._exports = exports
        self._erasing = erasing

    async def GetTreeHead(self, request: pb.GetTreeHeadRequest, context: Context) -> pb.GetTreeHeadResponse:
        admitted(context, READERS)
        head = await self._ledger.proving.tree_head(request.at_least_sequence)
        vkeys = self._ledger.verifier_keys
        return pb.GetTreeHeadResponse(
            tree_head=wire.head_to_wire(head),
            verifier_key=vkeys[-1],
            verifier_keys=vkeys,
            key_history=self._ledger.key_history,
        )

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        tenant = admitted(context, READERS).tenant
        if not request.HasField("leaf_index"):
            return wire.inclusion_to_wire(
                await self._ledger.proving.inclusion(tenant, request.event_id, request.tree_size)
            )
        admit_keeper(context)
        if request.event_id:
            raise Invalid("FIELD_INVALID", "give event_id or leaf_index, not both", field="leaf_index")
        return wire.inclusion_to_wire(
            await self._ledger.proving.inclusion_at(request.leaf_index, request.tree_size)
        )

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        admitted(context, READERS)
        path, to_size = await self._ledger.proving.consistency(request.from_size, request.to_size)
        return pb.GetConsistencyProofResponse(path=path, to_size=to_size)

    async def AwaitSequence(
        self, request: pb.AwaitSequenceRequest, context: Context
    ) -> pb.AwaitSequenceResponse:
        admitted(context, READERS)
        seconds = min(max(request.timeout_seconds, 0), MAX_WAIT_SECONDS)
        return pb.AwaitSequenceResponse(sequence=await self._ledger.wait(request.sequence, seconds))

    async def AwaitInclusion(
        self, request: pb.AwaitInclusionRequest, context: Context
    ) -> pb.AwaitInclusionResponse:
        tenant = admitted(context, READERS).tenant
        seconds = min(max(request.timeout_seconds, 0), MAX_WAIT_SECONDS)
        proof = await self._ledger.proving.await_inclusion(tenant, request.event_id, seconds)
        return pb.AwaitInclusionResponse(proof=wire.inclusion_to_wire(proof))

    async def GetTile(self, request: pb.GetTileRequest, context: Context) -> pb.GetTileResponse:
        admit_keeper(context)
        hashes = await self._ledger.tiles.tile(request.level, request.index, request.width)
        return pb.GetTileResponse(hashes=hashes)

    async def GetEntries(
        self, request: pb.GetEntriesRequest, context: Context
    ) -> AsyncIterator[pb.GetEntriesResponse]:
        admit_keeper(context)
        async with aclosing(self._ledger.tiles.entries(request.index, request.width)) as pieces:
            async for piece in pieces:
                yield pb.GetEntriesResponse(piece=piece)

    async def VerifyLedger(
        self, request: pb.VerifyLedgerRequest, context: Context
    ) -> pb.VerifyLedgerResponse:
        admitted(context, KEEPERS)
        return wire.verdict_to_wire(await self._ledger.verify(against_log=request.against_log))

    async def RebuildLedger(
        self, request: pb.RebuildLedgerRequest, context: Context
    ) -> AsyncIterator[pb.RebuildLedgerResponse]:
        admitted(context, REBUILDERS)
        began, at_first = monotonic(), None
        async with aclosing(self._ledger.rebuild()) as built:
            async for progress in built:
                at_first = progress.events if at_first is None else at_first
                seconds = monotonic() - began
                yield wire.progress_to_wire(
                    progress, (progress.events - at_first) / seconds if seconds else 0.0
                )

    # Written rather than yielded, so that an export nobody reads does not keep others from theirs.
    async def ExportLedger(  # type: ignore[override]
        self, request: pb.ExportLedgerRequest, context: Context
    ) -> None:
        admit_keeper(context)
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

    async def RepairLog(self, request: pb.RepairLogRequest, context: Context) -> pb.RepairLogResponse:
        admit_keeper(context, MENDERS)
        repaired = await self._ledger.repair(dry_run=request.dry_run)
        return pb.RepairLogResponse(
            first_sequence=repaired.first, last_sequence=repaired.last, published=repaired.published
        )
