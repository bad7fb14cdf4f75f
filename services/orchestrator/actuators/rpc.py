"""The actuators over gRPC: unwrap, ask, wrap."""

from chassis.rpc.cause import Context, caller_of
from kernel.faults import Denied, Fault, Invalid
from provost.orchestrator.v1 import actuator_pb2 as pb
from provost.orchestrator.v1.actuator_pb2_grpc import ActuatorServiceServicer
from provost.policy.v1 import policy_pb2
from services.orchestrator.actuators.hands import Hands
from services.orchestrator.domain.records import Action, Effect, EffectState
from services.orchestrator.wire import ACTION, EFFECT


class ActuatorServicer(ActuatorServiceServicer):
    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def PreviewAction(
        self, request: pb.PreviewActionRequest, context: Context
    ) -> pb.PreviewActionResponse:
        return pb.PreviewActionResponse(
            effect=EFFECT.to_message(self._hands.preview(ACTION.to_record(request.action)))
        )

    async def PreviewActions(
        self, request: pb.PreviewActionsRequest, context: Context
    ) -> pb.PreviewActionsResponse:
        effects = [self._preview(ACTION.to_record(action)) for action in request.actions]
        return pb.PreviewActionsResponse(effects=[EFFECT.to_message(effect) for effect in effects])

    def _preview(self, action: Action) -> Effect:
        try:
            return self._hands.preview(action)
        except Fault as fault:
            return Effect("", action.action_id, EffectState.REFUSED, fault.text, error_type=fault.reason)

    async def PerformAction(
        self, request: pb.PerformActionRequest, context: Context
    ) -> pb.PerformActionResponse:
        caller = caller_of(context)
        if "service" not in caller.roles:
            raise Denied("ROLE_MISSING", "only the orchestrator hands permits to the actuators")
        if not request.effect_id:
            raise Invalid("FIELD_MISSING", "effect_id is required", field="effect_id")
        action = ACTION.to_record(request.action)
        if request.permit:
            effect = await self._hands.perform(
                caller.tenant, request.effect_id, action, request.permit, request.journal_key
            )
        else:
            effect = await self._hands.outcome(request.effect_id, action, request.journal_key)
        return pb.PerformActionResponse(effect=EFFECT.to_message(effect))

    async def ListActuators(
        self, request: pb.ListActuatorsRequest, context: Context
    ) -> pb.ListActuatorsResponse:
        answer = pb.ListActuatorsResponse()
        for actuator in self._hands.actuators.values():
            offer, reason = actuator.offer, actuator.unavailable()
            answer.actuators.add(
                action=offer.action,
                least_tier=policy_pb2.Tier.Value(f"TIER_{offer.least_tier}"),
                description=offer.description,
                parameters={name: parameter.words for name, parameter in offer.parameters.items()},
                available=not reason,
                unavailable_reason=reason,
            )
        return answer
