"""What callers see of the ledger, and what they are refused."""

import json
import re
from typing import Any

import grpc
import grpc.aio
import pytest

from chassis.rpc.faults import fault_of
from kernel.faults import Fault
from provost.ledger.v1 import ledger_pb2 as pb
from provost.policy.v1 import events_pb2 as policy
from provost_sdk.note import read_key
from provost_sdk.proof_files import check_event_proof, write_event_proof
from services.ledger.adapters.keyring import verify
from services.ledger.domain import checkpoint, proofs
from services.ledger.domain.entry import entry_of
from tests.rpc.ledger.conftest import Caller
from tests.unit.ledger.story import BEGIN, plain


async def refused(caller: Caller, method: str, request: object) -> Fault:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.ask(method, request)
    fault = fault_of(caught.value)
    assert isinstance(fault, Fault)
    return fault


async def test_events_are_listed_page_by_page(viewer: Caller) -> None:
    found, token, pages = [], "", 0
    while True:
        answer = await viewer.ask("ListEvents", pb.ListEventsRequest(page_size=20, page_token=token))
        found += [each.sequence for each in answer.events]
        token, pages = answer.next_page_token, pages + 1
        if not token:
            break
    assert (found, pages) == (list(range(49, 0, -1)), 3)
    oldest = await viewer.ask("ListEvents", pb.ListEventsRequest(page_size=2, oldest_first=True))
    assert [each.sequence for each in oldest.events] == [1, 2]


async def test_an_event_is_shown_as_published_and_readable(viewer: Caller) -> None:
    request = pb.ListEventsRequest(filter=pb.EventFilter(event_type="DecisionsMade", correlation_id="run-1"))
    (event,) = (await viewer.ask("ListEvents", request)).events
    message = viewer.bench.log.messages[42]
    entry = entry_of(message)
    assert (event.sequence, event.leaf_index, event.leaf_hash) == (43, 42, entry.leaf_hash)
    assert (event.subject, event.payload, dict(event.headers)) == (
        message.subject,
        message.payload,
        entry.headers,
    )
    assert (event.actor, event.causation_id, event.correlation_id) == ("service:tests", "cause-1", "run-1")
    assert event.at.ToDatetime(tzinfo=BEGIN.tzinfo) == entry.at
    shown = json.loads(event.payload_json)
    assert [each["verdict"] for each in shown["decisions"]] == ["VERDICT_ALLOW", "VERDICT_DENY"]
    got = await viewer.ask("GetEvent", pb.GetEventRequest(event_id=event.event_id))
    assert got.event == event
    assert policy.DecisionsMade.FromString(got.event.payload).decisions[0].decision_id == "d1"


async def test_time_filters_hold(viewer: Caller) -> None:
    times = pb.EventFilter()
    times.from_time.seconds = int(BEGIN.timestamp()) + 10
    times.to_time.seconds = int(BEGIN.timestamp()) + 13
    answer = await viewer.ask("ListEvents", pb.ListEventsRequest(filter=times))
    assert [each.sequence for each in answer.events] == [12, 11, 10]
    times.from_time.seconds = 2**62
    fault = await refused(viewer, "ListEvents", pb.ListEventsRequest(filter=times))
    assert (fault.reason, fault.facts["field"]) == ("FIELD_INVALID", "from_time")


async def test_what_agents_did_is_listed(viewer: Caller) -> None:
    answer = await viewer.ask("ListAgentActions", pb.ListAgentActionsRequest(agent_id="sre-1"))
    denied, allowed = answer.actions
    assert (allowed.decision, allowed.success, allowed.HasField("success")) == ("ALLOW", True, True)
    assert (denied.decision, denied.HasField("success"), denied.confidence) == ("DENY", False, 0.75)
    assert (allowed.tier, allowed.action, allowed.target) == (
        "T1_OPERATOR",
        "diagnostics.memory",
        "localhost",
    )
    (agent,) = (await viewer.ask("ListAgentMetrics", pb.ListAgentMetricsRequest())).metrics
    assert (agent.agent_id, agent.total_runs, agent.compliant_runs, agent.revoked) == ("sre-1", 1, 1, True)
    (violation,) = (await viewer.ask("ListViolations", pb.ListViolationsRequest(agent_id="sre-1"))).violations
    assert (violation.sequence, violation.error_type) == (46, "FORBIDDEN_BY_PACKET")


async def test_a_tenant_sees_only_its_own(viewer: Caller) -> None:
    acme = viewer.as_("admin", tenant="acme")
    theirs = (await acme.ask("ListEvents", pb.ListEventsRequest(page_size=500))).events
    assert [each.sequence for each in theirs] == list(range(58, 49, -1))
    assert len((await acme.ask("ListAgentActions", pb.ListAgentActionsRequest())).actions) == 2
    for method, request in (
        ("GetEvent", pb.GetEventRequest(event_id=theirs[0].event_id)),
        ("GetInclusionProof", pb.GetInclusionProofRequest(event_id=theirs[0].event_id)),
    ):
        assert (await refused(viewer, method, request)).reason == "EVENT_UNKNOWN"
    page = await acme.ask("ListEvents", pb.ListEventsRequest(page_size=1))
    for other in (
        pb.ListEventsRequest(page_size=1, page_token=page.next_page_token),
        pb.ListEventsRequest(page_size=1, page_token="nonsense"),
    ):
        assert (await refused(viewer, "ListEvents", other)).reason == "PAGE_TOKEN_INVALID"
    nobody = viewer.as_("viewer", tenant="nobody")
    assert not (await nobody.ask("ListEvents", pb.ListEventsRequest())).events


async def test_a_head_and_proofs_verify_with_the_public_key_alone(viewer: Caller) -> None:
    answer = await viewer.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=58))
    key = checkpoint.parse_verifier_key(answer.verifier_key)
    opened = checkpoint.open_checkpoint(answer.tree_head.checkpoint, key, verify)
    assert (opened.size, opened.root) == (58, answer.tree_head.root_hash)
    assert re.fullmatch(r"provost\.local/main\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+", answer.verifier_key)
    (event,) = (await viewer.ask("ListEvents", pb.ListEventsRequest(page_size=1))).events
    proof = await viewer.ask("GetInclusionProof", pb.GetInclusionProofRequest(event_id=event.event_id))
    assert proofs.includes(
        leaf=event.leaf_hash,
        index=proof.leaf_index,
        size=opened.size,
        path=list(proof.path),
        root=opened.root,
    )
    viewer.bench.log.messages.append(plain(59))
    await viewer.bench.catch_up()
    await viewer.bench.ledger.sign(BEGIN)
    newer = (await viewer.ask("GetTreeHead", pb.GetTreeHeadRequest(at_least_sequence=59))).tree_head
    path = await viewer.ask("GetConsistencyProof", pb.GetConsistencyProofRequest(from_size=58))
    assert proofs.consistent(
        old=58, new=path.to_size, path=list(path.path), old_root=opened.root, new_root=newer.root_hash
    )


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetInclusionProof", pb.GetInclusionProofRequest(event_id="no such event"), "EVENT_UNKNOWN"),
        ("GetEvent", pb.GetEventRequest(), "EVENT_UNKNOWN"),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest(from_size=59), "TREE_SIZE_OUT_OF_RANGE"),
        (
            "GetConsistencyProof",
            pb.GetConsistencyProofRequest(from_size=1, to_size=2**63),
            "TREE_SIZE_OUT_OF_RANGE",
        ),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest(), "TREE_SIZE_OUT_OF_RANGE"),
        ("AwaitSequence", pb.AwaitSequenceRequest(sequence=59, timeout_seconds=0), "LEDGER_BEHIND"),
        ("AwaitSequence", pb.AwaitSequenceRequest(sequence=2**63, timeout_seconds=-5), "LEDGER_BEHIND"),
        ("ListEvents", pb.ListEventsRequest(page_size=-1), "FIELD_INVALID"),
        ("VerifyLedger", pb.VerifyLedgerRequest(), "ROLE_MISSING"),
        ("RebuildLedger", pb.RebuildLedgerRequest(), "ROLE_MISSING"),
    ],
)
async def test_clear_refusals(viewer: Caller, method: str, request_: Any, reason: str) -> None:
    if method == "RebuildLedger":
        stub_call = viewer.channel.unary_stream(
            "/provost.ledger.v1.LedgerService/RebuildLedger",
            request_serializer=pb.RebuildLedgerRequest.SerializeToString,
            response_deserializer=pb.RebuildLedgerResponse.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [each async for each in stub_call(request_, metadata=viewer.metadata)]
        fault = fault_of(caught.value)
    else:
        fault = await refused(viewer, method, request_)
    assert isinstance(fault, Fault)
    assert fault.reason == reason


async def test_who_has_no_role_reads_nothing(viewer: Caller) -> None:
    for method, request in (
        ("ListEvents", pb.ListEventsRequest()),
        ("GetEvent", pb.GetEventRequest(event_id="x")),
        ("ListAgentActions", pb.ListAgentActionsRequest()),
        ("ListAgentMetrics", pb.ListAgentMetricsRequest()),
        ("ListViolations", pb.ListViolationsRequest()),
        ("GetTreeHead", pb.GetTreeHeadRequest()),
        ("GetInclusionProof", pb.GetInclusionProofRequest(event_id="x")),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest()),
        ("AwaitSequence", pb.AwaitSequenceRequest()),
    ):
        assert (await refused(viewer.as_("superuser"), method, request)).reason == "ROLE_MISSING"


async def test_waiting_answers_the_sequence(viewer: Caller) -> None:
    answer = await viewer.ask("AwaitSequence", pb.AwaitSequenceRequest(sequence=58))
    assert answer.sequence == 58


async def test_the_ledger_is_verified_and_rebuilt(viewer: Caller) -> None:
    auditor, admin = viewer.as_("auditor"), viewer.as_("admin")
    answer = await auditor.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))
    assert answer.ok
    assert {each.name for each in answer.checks} >= {"continuity", "leaves", "tiles", "root", "heads", "log"}
    assert all(each.ok and each.detail for each in answer.checks)
    assert (answer.tree_head.tree_size, answer.first_bad_sequence) == (58, 0)
    from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub

    call = LedgerServiceStub(viewer.channel).RebuildLedger(pb.RebuildLedgerRequest(), metadata=admin.metadata)
    *_, last = [each async for each in call]
    assert (last.done, last.swapped, last.events) == (True, True, 58)
    assert last.events_per_second > 0
    assert last.root_hash == answer.tree_head.root_hash
    viewer.bench.log.messages[4] = plain(5, run="forged")
    answer = await auditor.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))
    assert (answer.ok, answer.first_bad_sequence) == (False, 5)


async def test_a_proof_holds_all_that_the_sdks_own_verifier_needs(viewer: Caller) -> None:
    head = await viewer.ask("GetTreeHead", pb.GetTreeHeadRequest())
    for index in (0, 20, 42, 48):
        entry = entry_of(viewer.bench.log.messages[index])
        proof = await viewer.ask("GetInclusionProof", pb.GetInclusionProofRequest(event_id=entry.event_id))
        text = write_event_proof(
            proof.leaf_index,
            proof.path,
            proof.tree_head.checkpoint,
            proof.subject,
            proof.header_block,
            proof.payload,
        )
        proved = check_event_proof(text, read_key(head.verifier_key))
        assert (proved.index, proved.payload) == (index, entry.payload)
