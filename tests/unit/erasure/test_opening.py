"""Answers are opened for callers, as they leave; between our own processes they stay sealed."""

import json
from typing import Any

from chassis.rpc.opening import Opening
from provost.ledger.v1 import ledger_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from tests.fakes.subject_keys import MemorySubjectKeys


class Call:
    """A call's context, as far as the one who opens looks at it."""

    def __init__(self, *roles: str, tenant: str = "acme") -> None:
        self.metadata = [
            ("x-provost-tenant", tenant),
            ("x-provost-actor", "key:x"),
            ("x-provost-roles", ",".join(roles)),
        ]

    def invocation_metadata(self) -> Any:
        return self.metadata


async def test_texts_lists_maps_and_json_are_opened() -> None:
    keys = MemorySubjectKeys()
    seal, opening = await keys.of_subject("acme", "alice"), Opening(keys)
    action = policy_pb2.Action(name="a.b", target=seal.seal("web-1"), parameters={"to": seal.seal("x")})
    answer = policy_pb2.ListApprovalsResponse(
        approvals=[policy_pb2.Approval(action=action, why=seal.seal("so"))]
    )
    (shown,) = (await opening(answer, Call("viewer"))).approvals
    assert (shown.action.target, shown.action.parameters["to"], shown.why) == ("web-1", "x", "so")
    text = json.dumps({"summary": seal.seal('a "b"')})
    event = ledger_pb2.GetEventResponse(
        event=ledger_pb2.LedgerEvent(payload=text.encode(), payload_json=text)
    )
    told = (await opening(event, Call("viewer"))).event
    assert json.loads(told.payload_json) == {"summary": 'a "b"'}
    assert told.payload == text.encode(), "what a leaf is made of stays as it was published"
    handoff = state_pb2.Handoff(what_was_tried=[seal.seal("one"), "two"])
    assert list(
        (await opening(state_pb2.GetHandoffResponse(handoff=handoff), Call("viewer"))).handoff.what_was_tried
    ) == ["one", "two"]


async def test_contents_are_opened() -> None:
    keys = MemorySubjectKeys()
    seal = await keys.of_subject("acme", "alice")
    answer = state_pb2.GetArtifactResponse(content=seal.seal_bytes(b"\xff log"))
    assert (await Opening(keys)(answer, Call("viewer"))).content == b"\xff log"
    keys.erase("acme", seal.key_id)
    answer = state_pb2.GetArtifactResponse(content=seal.seal_bytes(b"\xff log"))
    assert (await Opening(keys)(answer, Call("viewer"))).content == b"[erased]"


async def test_services_and_other_tenants_see_nothing() -> None:
    keys = MemorySubjectKeys()
    seal = await keys.of_subject("acme", "alice")
    answer = ledger_pb2.ListAgentActionsResponse(actions=[ledger_pb2.AgentAction(target=seal.seal("web-1"))])
    sealed = answer.actions[0].target
    assert (await Opening(keys)(answer, Call("service"))).actions[0].target == sealed
    assert (await Opening(keys)(answer, Call("viewer", tenant="rival"))).actions[0].target == "[erased]"


async def test_what_is_told_as_it_is_is_not_looked_into() -> None:
    keys = MemorySubjectKeys()
    seal = await keys.of_subject("acme", "alice")
    answer = policy_pb2.AuthorizeResponse(decision=policy_pb2.Decision(explanation=seal.seal("so")))
    opening = Opening(keys, verbatim=frozenset({"AuthorizeResponse"}))
    assert (await opening(answer, Call("viewer"))).decision.explanation.startswith("sealed:v1:")
