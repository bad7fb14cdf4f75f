"""Every question is answered for the tenant of the key that asks, whatever is asked for."""

import pytest

from provost.ledger.v1 import ledger_pb2 as pb
from tests.rpc.ledger.conftest import Caller
from tests.rpc.ledger.test_ledger import refused


@pytest.mark.parametrize(("tenant", "other"), [("default", "acme"), ("acme", "default")])
async def test_an_event_and_its_proof_are_its_tenants(viewer: Caller, tenant: str, other: str) -> None:
    owner, stranger = viewer.as_("viewer", tenant=tenant), viewer.as_("admin", tenant=other)
    (event,) = (await owner.ask("ListEvents", pb.ListEventsRequest(page_size=1))).events
    shown = await owner.ask("GetEvent", pb.GetEventRequest(event_id=event.event_id))
    assert shown.event.sequence == event.sequence
    proof = await owner.ask("GetInclusionProof", pb.GetInclusionProofRequest(event_id=event.event_id))
    assert proof.leaf_index == event.sequence - 1
    for method, request in (
        ("GetEvent", pb.GetEventRequest(event_id=event.event_id)),
        ("GetInclusionProof", pb.GetInclusionProofRequest(event_id=event.event_id)),
    ):
        assert (await refused(stranger, method, request)).reason == "EVENT_UNKNOWN"


async def test_what_agents_did_and_violated_is_their_tenants(viewer: Caller) -> None:
    for tenant in ("default", "acme"):
        owner = viewer.as_("viewer", tenant=tenant)
        assert (await owner.ask("ListAgentActions", pb.ListAgentActionsRequest())).actions
        assert (await owner.ask("ListAgentMetrics", pb.ListAgentMetricsRequest())).metrics
        assert (await owner.ask("ListViolations", pb.ListViolationsRequest())).violations
    nobody = viewer.as_("admin", tenant="nobody")
    assert not (await nobody.ask("ListAgentActions", pb.ListAgentActionsRequest())).actions
    assert not (await nobody.ask("ListAgentMetrics", pb.ListAgentMetricsRequest())).metrics
    assert not (await nobody.ask("ListViolations", pb.ListViolationsRequest())).violations
