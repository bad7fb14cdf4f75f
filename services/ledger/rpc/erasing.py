"""Forgetting over gRPC: unwrap, ask, wrap."""

from chassis.rpc.cause import Context, admitted, cause_of
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceServicer
from services.ledger.handlers.erasing import Erasing
from services.ledger.rpc.callers import AUDITORS, MENDERS
from services.ledger.wire.erasures import erasure_to_wire


class ErasingRpc(LedgerServiceServicer):
    """`EraseSubject` and `ListErasures`, each tenant for itself."""

    _erasing: Erasing

    async def EraseSubject(
        self, request: pb.EraseSubjectRequest, context: Context
    ) -> pb.EraseSubjectResponse:
        admitted(context, MENDERS)
        cause = cause_of(context, request.request_id)
        erased = await self._erasing.erase(request.subject, request.reason, cause)
        return pb.EraseSubjectResponse(erasure=erasure_to_wire(erased.sequence, erased.event))

    async def ListErasures(
        self, request: pb.ListErasuresRequest, context: Context
    ) -> pb.ListErasuresResponse:
        tenant = admitted(context, AUDITORS).tenant
        found, token = self._erasing.listed(tenant, request.page_size, request.page_token)
        return pb.ListErasuresResponse(
            erasures=[erasure_to_wire(each.sequence, each.event) for each in found], next_page_token=token
        )
