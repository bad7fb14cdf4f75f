"""What the gateway itself offers over gRPC."""

from typing import Any

import grpc.aio

from provost.gateway.v1 import gateway_pb2
from provost.gateway.v1.gateway_pb2_grpc import GatewayServiceServicer
from services.gateway.domain.rights import GRPC
from services.gateway.handlers import Gateway
from services.gateway.rpc.front import admit

_STATUS = "/provost.gateway.v1.GatewayService/GetStatus"


class GatewayServicer(GatewayServiceServicer):
    """Unwrap, ask, wrap."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def GetStatus(
        self, request: gateway_pb2.GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> gateway_pb2.GetStatusResponse:
        await admit(self._gateway, context, _STATUS, GRPC[_STATUS])
        status = await self._gateway.status()
        return gateway_pb2.GetStatusResponse(
            healthy=status.healthy,
            version=status.version,
            components=[
                gateway_pb2.ComponentStatus(
                    name=each.name, healthy=each.healthy, lag_events=each.lag_events, detail=each.detail
                )
                for each in status.components
            ],
        )
