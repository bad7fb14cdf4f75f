"""Why something happened, a run again, a watch: over gRPC, from rows alone, each tenant its own."""

import asyncio
from typing import Any

import grpc.aio
import pytest

from chassis.rpc.faults import fault_of
from kernel.faults import Fault
from provost.ledger.v1 import ledger_pb2 as pb
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from tests.bench.questions import run_of
from tests.rpc.ledger.conftest import Caller
from tests.rpc.ledger.test_ledger import refused
from tests.unit.ledger.story import plains

RUN, FIRST, LAST = "run-40", 59, 78
"""A run of tenant default that people were asked about; behind it is one of acme."""


@pytest.fixture
async def auditor(viewer: Caller) -> Caller:
    viewer.bench.log.messages += [*run_of(40, FIRST), *run_of(49, LAST + 1)]
    await viewer.bench.catch_up()
    return viewer


async def test_an_effect_is_traced_back_to_whoever_asked(auditor: Caller) -> None:
    chain = await auditor.ask("TraceCauses", pb.TraceCausesRequest(effect_id="effect-40"))
    assert not chain.incomplete
    kinds = [step.event.event_type for step in chain.steps]
    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "EffectIntended"
    assert {"PlanRecorded", "ApprovalRequested", "ApprovalAnswered", "ApprovalUsed", "DecisionsMade"} <= set(
        kinds
    )
    assert [step.event.sequence for step in chain.steps] == sorted(
        step.event.sequence for step in chain.steps
    )
    sequences = {step.event.sequence for step in chain.steps}
    assert {step.caused_by_sequence for step in chain.steps} - {0} <= sequences
    assert chain.steps[0].summary.startswith("key:bob started")
    (decided,) = (step.summary for step in chain.steps if step.event.event_type == "DecisionsMade")
    assert "ALLOW diagnostics.memory on web-40 for sre-0 by tier.T1_OPERATOR" in decided
    assert "policy 1), approval approval-40" in decided
    by_event = await auditor.ask(
        "TraceCauses", pb.TraceCausesRequest(event_id=chain.steps[-1].event.event_id)
    )
    assert by_event == chain


async def test_the_outcome_is_traced_through_its_intent(auditor: Caller) -> None:
    wanted = pb.ListEventsRequest(filter=pb.EventFilter(run_id=RUN, event_type="EffectsObserved"))
    (outcome,) = (await auditor.ask("ListEvents", wanted)).events
    chain = await auditor.ask("TraceCauses", pb.TraceCausesRequest(event_id=outcome.event_id))
    assert [step.event.event_type for step in chain.steps][-2:] == ["EffectIntended", "EffectsObserved"]


async def test_a_cause_that_is_not_there_is_said(auditor: Caller) -> None:
    # Events of the first story name a cause that nobody has published.
    (event,) = (await auditor.ask("ListEvents", pb.ListEventsRequest(page_size=1, oldest_first=True))).events
    chain = await auditor.ask("TraceCauses", pb.TraceCausesRequest(event_id=event.event_id))
    assert chain.incomplete
    assert [step.event.sequence for step in chain.steps] == [1]


async def test_a_run_is_replayed_page_by_page(auditor: Caller) -> None:
    steps: list[pb.Step] = []
    token = ""
    while True:
        request = pb.ReplayRunRequest(run_id=RUN, page_size=6, page_token=token)
        answer = await auditor.ask("ReplayRun", request)
        steps += answer.steps
        token = answer.next_page_token
        if not token:
            break
    assert [step.event.sequence for step in steps] == list(range(FIRST, LAST + 1))
    assert [step.caused_by_sequence for step in steps] == [0, *range(FIRST, LAST)]
    told = {step.event.event_type: step.summary for step in steps}
    assert told["ApprovalAnswered"] == "key:dan approved approval-40"
    assert told["EffectsObserved"] == "a1 SUCCEEDED: looked"
    assert "kept to the rules" in told["RunEnded"]
    assert all(step.summary and "\n" not in step.summary for step in steps)


async def test_what_is_another_tenants_is_unknown(auditor: Caller) -> None:
    acme = auditor.as_("admin", tenant="acme")
    for caller, run, effect, event in (
        (acme, RUN, "effect-40", "00000040-03"),
        (auditor, "run-49", "effect-49", "00000049-03"),
    ):
        assert (await refused(caller, "ReplayRun", pb.ReplayRunRequest(run_id=run))).reason == "RUN_UNKNOWN"
        for request in (pb.TraceCausesRequest(effect_id=effect), pb.TraceCausesRequest(event_id=event)):
            assert (await refused(caller, "TraceCauses", request)).reason == "EVENT_UNKNOWN"
    assert (await acme.ask("ReplayRun", pb.ReplayRunRequest(run_id="run-49"))).steps
    nothing = pb.TraceCausesRequest()
    assert (await refused(acme, "TraceCauses", nothing)).reason == "EVENT_UNKNOWN"


async def test_promotions_and_approvals_are_listed(auditor: Caller) -> None:
    (promotion,) = (
        await auditor.ask("ListPromotions", pb.ListPromotionsRequest(agent_id="sre-1"))
    ).promotions
    assert (promotion.from_tier, promotion.to_tier, promotion.reason) == ("", "T1_OPERATOR", "REGISTERED")
    assert promotion.by == "service:tests"
    request = pb.ListApprovalRecordsRequest(run_id=RUN, state="USED")
    (approval,) = (await auditor.ask("ListApprovalRecords", request)).approvals
    assert (approval.approval_id, approval.answered_by) == ("approval-40", "key:dan")
    assert (approval.decision_id, approval.action) == (f"{40:032x}", "diagnostics.memory")
    assert approval.HasField("requested_at")
    acme = auditor.as_("viewer", tenant="acme")
    assert not (await acme.ask("ListApprovalRecords", pb.ListApprovalRecordsRequest())).approvals
    wrong = await refused(auditor, "ListApprovalRecords", pb.ListApprovalRecordsRequest(state="MAYBE"))
    assert (wrong.reason, wrong.facts["field"]) == ("FIELD_INVALID", "state")


async def test_a_decision_that_there_is_not_is_refused_rather_than_not_found(auditor: Caller) -> None:
    for method, request in (
        ("ListAgentActions", pb.ListAgentActionsRequest(decision="Deny")),
        ("ListEvents", pb.ListEventsRequest(filter=pb.EventFilter(decision="DENIED"))),
    ):
        wrong = await refused(auditor, method, request)
        assert (wrong.reason, wrong.facts["field"]) == ("FIELD_INVALID", "decision"), method
        assert "ALLOW, DENY, NEEDS_APPROVAL" in wrong.text


async def test_decisions_are_found_among_events_by_action_and_verdict(auditor: Caller) -> None:
    async def found(**wanted: str) -> list[int]:
        request = pb.ListEventsRequest(filter=pb.EventFilter(**wanted))  # type: ignore[arg-type]
        return [each.sequence for each in (await auditor.ask("ListEvents", request)).events]

    assert await found(action="diagnostics.memory", run_id=RUN) == [66]
    assert await found(decision="DENY") == [43]
    assert await found(decision="DENY", run_id=RUN) == []
    assert len(await found(task_id="task-40")) > 3


async def test_tokens_are_good_for_their_own_question_alone(auditor: Caller) -> None:
    asked = pb.ListEventsRequest(page_size=1, filter=pb.EventFilter(run_id=RUN), oldest_first=True)
    token = (await auditor.ask("ListEvents", asked)).next_page_token
    replay = (await auditor.ask("ReplayRun", pb.ReplayRunRequest(run_id=RUN, page_size=1))).next_page_token
    for method, request in (
        ("ReplayRun", pb.ReplayRunRequest(run_id=RUN, page_token=token)),
        ("ListEvents", pb.ListEventsRequest(page_token=replay, filter=asked.filter, oldest_first=True)),
        ("ListEvents", pb.ListEventsRequest(page_token=token)),
        ("ListPromotions", pb.ListPromotionsRequest(page_token=token)),
        ("ListApprovalRecords", pb.ListApprovalRecordsRequest(page_token="x" * 50)),
    ):
        assert (await refused(auditor, method, request)).reason == "PAGE_TOKEN_INVALID", method


def watching(caller: Caller, **request: Any) -> Any:
    stub = LedgerServiceStub(caller.channel)
    return stub.WatchEvents(pb.WatchEventsRequest(**request), metadata=caller.metadata, timeout=30)


async def seen(watch: Any, last: int) -> tuple[list[int], str]:
    """What a watch shows up to a sequence, and its cursor behind that."""
    found: list[int] = []
    while not found or found[-1] < last:
        answer = await watch.read()
        assert answer is not grpc.aio.EOF, "the watch ended"
        found += [each.sequence for each in answer.events]
    return found, answer.cursor


async def test_a_watch_begins_now_from_the_start_or_behind_a_cursor(auditor: Caller) -> None:
    mine = [*range(1, 50), *range(FIRST, LAST + 1)]
    watch = watching(auditor, from_start=True)
    found, cursor = await seen(watch, LAST)
    assert found == mine
    watch.cancel()
    now = watching(auditor)
    first = await now.read()
    assert (list(first.events), first.ledger_sequence) == ([], 98)
    auditor.bench.log.messages += plains(3, first=99)
    await auditor.bench.catch_up()
    assert (await seen(now, 101))[0] == [99, 100, 101]
    behind = watching(auditor, cursor=cursor)
    assert (await seen(behind, 101))[0] == [99, 100, 101]
    for each in (now, behind):
        each.cancel()


async def test_a_watch_that_is_cut_again_and_again_shows_everything_once_and_in_order(
    auditor: Caller,
) -> None:
    found: list[int] = []
    cursor, sequence = "", 98
    for n in range(6):
        auditor.bench.log.messages += plains(5, first=sequence + 1)
        sequence += 5
        keeping = asyncio.create_task(auditor.bench.catch_up())
        watch = watching(auditor, from_start=True, cursor=cursor)
        some, cursor = await seen(watch, sequence - (n % 3))
        found += some
        watch.cancel()
        await keeping
    rest = watching(auditor, cursor=cursor)
    auditor.bench.log.messages += plains(1, first=sequence + 1)
    await auditor.bench.catch_up()
    found += (await seen(rest, sequence + 1))[0]
    rest.cancel()
    assert found == [*range(1, 50), *range(FIRST, LAST + 1), *range(99, sequence + 2)]


async def test_a_watch_shows_what_its_filter_asks_for(auditor: Caller) -> None:
    watch = watching(
        auditor, from_start=True, filter=pb.EventFilter(run_id=RUN, event_type="ApprovalAnswered")
    )
    (found, _) = await seen(watch, FIRST)
    assert len(found) == 1
    watch.cancel()


async def test_cursors_are_bound_to_tenant_and_filter(auditor: Caller) -> None:
    _, cursor = await seen(watching(auditor, from_start=True), LAST)
    acme = auditor.as_("viewer", tenant="acme")
    token = (
        await auditor.ask("ListEvents", pb.ListEventsRequest(page_size=1, oldest_first=True))
    ).next_page_token
    for caller, request in (
        (acme, {"cursor": cursor}),
        (auditor, {"cursor": cursor, "filter": pb.EventFilter(agent_id="sre-1")}),
        (auditor, {"cursor": token}),
        (auditor, {"cursor": "nonsense"}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watching(caller, **request).read()
        fault = fault_of(caught.value)
        assert isinstance(fault, Fault)
        assert fault.reason == "CURSOR_INVALID"


async def test_whoever_never_reads_is_closed_with_a_cursor_and_misses_nothing(auditor: Caller) -> None:
    """Fault 13; the fixture's ledger waits a second for a reader."""
    begin = auditor.bench.ledger.position.last + 1
    large = [each._replace(payload=b"\x00" * 60_000) for each in plains(300, first=begin)]
    auditor.bench.log.messages += large
    await auditor.bench.catch_up()
    watch = watching(auditor, from_start=True)
    found, cursor = await seen(watch, LAST)
    async with asyncio.timeout(20):
        while auditor.bench.ledger.watching.open:
            await asyncio.sleep(0.05)

    async def read_on() -> None:
        nonlocal cursor
        while answer := await watch.read():
            found.extend(each.sequence for each in answer.events)
            cursor = answer.cursor

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_on()
    fault = fault_of(caught.value)
    assert isinstance(fault, Fault)
    assert (fault.reason, bool(fault.facts["cursor"])) == ("WATCH_TOO_SLOW", True)
    assert found[-1] < large[-1].sequence
    again = watching(auditor, cursor=cursor)
    found += (await seen(again, large[-1].sequence))[0]
    again.cancel()
    assert found == [*range(1, 50), *range(FIRST, LAST + 1), *range(begin, large[-1].sequence + 1)]
