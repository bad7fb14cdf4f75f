"""The actuators over gRPC: the one process that can do anything."""

from collections.abc import Sequence
from typing import Any

import grpc.aio

from chassis.process import monotonic
from chassis.rpc.client import call
from kernel.events import Cause
from kernel.faults import Fault, Unavailable
from provost.orchestrator.v1 import actuator_pb2 as pb
from provost.orchestrator.v1.actuator_pb2_grpc import ActuatorServiceStub
from services.orchestrator.domain.records import Action, Effect, EffectState
from services.orchestrator.wire import ACTION, EFFECT

PERFORM_SECONDS = 180.0
_REACHABLE_FOR_SECONDS = 5.0


class GrpcActuators:
    """`ports.ActuatorDoor`."""

    def __init__(self, channel: grpc.aio.Channel, ask: Cause) -> None:
        self._actuators: Any = ActuatorServiceStub(channel)
        self._ask = ask
        self._answered_at: float | None = None

    async def preview(self, actions: Sequence[Action], cause: Cause) -> tuple[Effect, ...]:
        request = pb.PreviewActionsRequest(actions=[ACTION.to_message(action) for action in actions])
        answer = await call(self._actuators.PreviewActions, request, cause)
        return tuple(EFFECT.to_record(effect) for effect in answer.effects)

    async def perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        try:
            return await self._perform(effect_id, action, permit, journal_key, cause)
        except Unavailable:
            raise
        except Fault as fault:
            if fault.reason == "PERMIT_EXPIRED":  # they were away for too long: that is none of the agent's
                raise Unavailable(fault.reason, fault.text) from None
            return Effect(
                effect_id,
                action.action_id,
                EffectState.REFUSED,
                fault.text,
                error_type=fault.reason,
                error_message=fault.text,
            )

    async def outcome(
        self, effect_id: str, action: Action, journal_key: bytes, cause: Cause
    ) -> Effect | None:
        try:
            return await self._perform(effect_id, action, "", journal_key, cause)
        except Unavailable:
            raise
        except Fault:
            return None

    async def _perform(
        self, effect_id: str, action: Action, permit: str, journal_key: bytes, cause: Cause
    ) -> Effect:
        request = pb.PerformActionRequest(
            effect_id=effect_id, action=ACTION.to_message(action), permit=permit, journal_key=journal_key
        )
        answer = await call(self._actuators.PerformAction, request, cause, PERFORM_SECONDS)
        return EFFECT.to_record(answer.effect)

    async def reachable(self) -> bool:
        """Whether they answered just now; one answer is believed for 5 seconds."""
        if self._answered_at is not None and monotonic() - self._answered_at < _REACHABLE_FOR_SECONDS:
            return True
        try:
            await call(self._actuators.ListActuators, pb.ListActuatorsRequest(page_size=1), self._ask, 2.0)
        except Unavailable:
            return False
        self._answered_at = monotonic()
        return True
