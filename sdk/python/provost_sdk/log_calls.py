"""What the client asks of the log itself: heads, proofs, tiles and leaves."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import TYPE_CHECKING

from provost.ledger.v1 import ledger_pb2
from provost_sdk.errors import ProvostError
from provost_sdk.transport import Connection, new_request_id

if TYPE_CHECKING:
    from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceAsyncStub

# As long as the ledger lets one call wait, and no longer.
_WAIT_SECONDS = 20


class LogCalls(Connection):
    """The part of the client that asks the log."""

    _ledger: "LedgerServiceAsyncStub"

    async def tree_head(self, *, at_least_sequence: int = 0) -> ledger_pb2.GetTreeHeadResponse:
        """The newest signed tree head, of a ledger that has come as far as `at_least_sequence`."""
        request = ledger_pb2.GetTreeHeadRequest(at_least_sequence=at_least_sequence)
        return await self._call(self._ledger.GetTreeHead, request)

    async def erase_subject(self, subject: str, reason: str, *, request_id: str = "") -> ledger_pb2.Erasure:
        """Forget a subject for good: what was sealed for it can be read by nobody any more. Needs an admin's key."""
        request = ledger_pb2.EraseSubjectRequest(
            request_id=request_id or new_request_id(), subject=subject, reason=reason
        )
        return (await self._call(self._ledger.EraseSubject, request)).erasure

    async def list_erasures(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> ledger_pb2.ListErasuresResponse:
        """What was erased, newest first. Needs an auditor's key."""
        request = ledger_pb2.ListErasuresRequest(page_size=page_size, page_token=page_token)
        return await self._call(self._ledger.ListErasures, request)

    async def prove_event(self, event_id: str) -> ledger_pb2.GetInclusionProofResponse:
        """That an event of this tenant is in the newest signed tree, with all that its leaf is made of."""
        request = ledger_pb2.GetInclusionProofRequest(event_id=event_id)
        return await self._call(self._ledger.GetInclusionProof, request)

    async def prove_leaf(self, leaf_index: int) -> ledger_pb2.GetInclusionProofResponse:
        """As `prove_event`, of any tenant's event by its number. Needs an auditor's key of tenant `default`."""
        request = ledger_pb2.GetInclusionProofRequest(leaf_index=leaf_index)
        return await self._call(self._ledger.GetInclusionProof, request)

    async def await_inclusion(
        self, event_id: str, *, timeout_seconds: float = 20.0
    ) -> ledger_pb2.GetInclusionProofResponse:
        """As `prove_event`, once a signed head covers the event. Reason LEDGER_BEHIND: none did in time."""
        until = monotonic() + timeout_seconds
        while True:
            seconds = round(max(0.0, min(_WAIT_SECONDS, until - monotonic())))
            request = ledger_pb2.AwaitInclusionRequest(event_id=event_id, timeout_seconds=seconds)
            try:
                answer = await self._call(
                    self._ledger.AwaitInclusion, request, seconds + self._timeout_seconds
                )
                return answer.proof
            except ProvostError as error:
                if error.reason != "LEDGER_BEHIND" or monotonic() + 0.5 >= until:
                    raise

    async def prove_growth(self, from_size: int, to_size: int) -> ledger_pb2.GetConsistencyProofResponse:
        """That the tree of `to_size` leaves begins with that of `from_size`."""
        request = ledger_pb2.GetConsistencyProofRequest(from_size=from_size, to_size=to_size)
        return await self._call(self._ledger.GetConsistencyProof, request)

    async def get_tile(self, level: int, index: int, width: int = 0) -> bytes:
        """The hashes of a tile (C2SP tlog-tiles), 32 bytes each; width 0 is a full one. Needs an auditor's key of
        tenant `default`, as `get_entries` does. Reason TILE_UNKNOWN: the newest signed head does not cover it.
        """
        request = ledger_pb2.GetTileRequest(level=level, index=index, width=width)
        return (await self._call(self._ledger.GetTile, request)).hashes

    async def get_entries(self, index: int, width: int = 0) -> AsyncIterator[bytes]:
        """The leaves of an entry bundle, one after another; raises as `get_tile`."""
        request = ledger_pb2.GetEntriesRequest(index=index, width=width)
        waiting = b""
        async for answer in self._answers(self._ledger.GetEntries, request):
            waiting += answer.piece
            at = 0
            while len(waiting) - at >= 2:
                end = at + 2 + int.from_bytes(waiting[at : at + 2], "big")
                if end > len(waiting):
                    break
                yield waiting[at + 2 : end]
                at = end
            waiting = waiting[at:]
