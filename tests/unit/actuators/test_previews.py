"""Several actions are previewed at once, each for itself."""

from pathlib import Path
from typing import Any

from provost.orchestrator.v1 import actuator_pb2 as pb
from services.orchestrator.actuators.rpc import ActuatorServicer
from services.orchestrator.domain.records import Action, EffectState
from services.orchestrator.wire import ACTION as MAPPER
from services.orchestrator.wire import EFFECT
from tests.unit.actuators.test_hands import ACTION, Counting, hands


async def test_one_that_would_be_refused_keeps_no_other_from_its_preview(tmp_path: Path) -> None:
    actuator = Counting()
    servicer = ActuatorServicer(hands(tmp_path, actuator))
    unknown = Action("a0", "test.unheard_of", "localhost", "sandbox", {})
    request = pb.PreviewActionsRequest(actions=[MAPPER.to_message(each) for each in (unknown, ACTION)])
    context: Any = None  # nobody looks at it
    answer = await servicer.PreviewActions(request, context)
    refused, previewed = (EFFECT.to_record(effect) for effect in answer.effects)
    assert (refused.action_id, refused.state, refused.error_type) == (
        "a0",
        EffectState.REFUSED,
        "ACTION_UNKNOWN",
    )
    assert (previewed.action_id, previewed.state) == ("a1", EffectState.PREVIEWED)
    assert actuator.done == 0
