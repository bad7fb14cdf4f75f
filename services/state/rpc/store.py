"""The store, held against the log."""

from chassis.rpc.cause import Context
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceServicer
from services.state.domain.documents import tenant_of
from services.state.handlers import State
from services.state.rpc.callers import CHECKERS, MENDERS, cause_for

MAX_KEYS_NAMED = 20


class StoreRpc(StateServiceServicer):
    """Comparing and mending."""

    _state: State

    async def RebuildStore(
        self, request: pb.RebuildStoreRequest, context: Context
    ) -> pb.RebuildStoreResponse:
        cause_for(context, MENDERS)
        rebuilt = await self._state.audit.rebuild()
        return pb.RebuildStoreResponse(events=rebuilt.events, state_hash=rebuilt.state_hash)

    async def VerifyStore(self, request: pb.VerifyStoreRequest, context: Context) -> pb.VerifyStoreResponse:
        cause = cause_for(context, CHECKERS)
        verdict = await self._state.audit.verify()
        own = [key for key in verdict.differing_keys if tenant_of(key) == cause.tenant]
        return pb.VerifyStoreResponse(
            equal=verdict.equal,
            store_hash=verdict.store_hash,
            log_hash=verdict.log_hash,
            # The store is compared whole; of what differs, a caller is told its own tenant's names.
            differing_keys=own[:MAX_KEYS_NAMED],
            differing_key_count=len(verdict.differing_keys),
            at_sequence=verdict.at_sequence,
        )
