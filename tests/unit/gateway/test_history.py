"""What happened, over REST: filters arrive as they were asked, a stream is resumed without a gap or a repetition."""

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx2
import pytest

from services.gateway.domain.callers import ANONYMOUS
from services.gateway.domain.history import ApprovalRecordFilter, PromotionFilter, ViolationFilter, WatchFrom
from services.gateway.domain.records import EventFilter, Page
from services.gateway.web.streams import Streams, resumed
from tests.fakes.doors import House


async def test_lists_are_asked_as_they_were_asked(rest: httpx2.AsyncClient, house: House) -> None:
    answer = (await rest.get("/api/violations?agent_id=sre-1&error_type=X&run_id=r&page_size=5")).json()
    assert (answer["items"][0]["error_type"], answer["next_page_token"]) == ("FORBIDDEN", "more")
    (promotion,) = (await rest.get("/api/promotions?to_tier=T1_OPERATOR")).json()["items"]
    assert (promotion["from_tier"], promotion["to_tier"], promotion["by"]) == ("", "T1_OPERATOR", "key:admin")
    (approval,) = (await rest.get("/api/approval_records?state=USED&task_id=t")).json()["items"]
    assert (approval["state"], approval["answered_by"], approval["decision_id"]) == ("USED", "key:bob", "d1")
    assert house.ledger.asked == [
        (ViolationFilter(agent_id="sre-1", error_type="X", run_id="r"), Page(5, "")),
        (PromotionFilter(to_tier="T1_OPERATOR"), Page()),
        (ApprovalRecordFilter(state="USED", task_id="t"), Page()),
    ]
    assert (await rest.get("/api/approval_records?state=MAYBE")).status_code == 400


async def test_more_filters_reach_the_ledger(rest: httpx2.AsyncClient, house: House) -> None:
    await rest.get("/api/events?agent_id=a&run_id=r&task_id=t&action=x&decision=DENY")
    assert house.ledger.filters == [
        EventFilter(agent_id="a", run_id="r", task_id="t", action="x", decision="DENY")
    ]


@pytest.mark.parametrize(
    "path", ["/api/events", "/api/agent_actions", "/api/promotions", "/api/violations", "/api/runs"]
)
async def test_a_misspelt_filter_is_refused_rather_than_ignored(
    path: str, rest: httpx2.AsyncClient, house: House
) -> None:
    refused = await rest.get(f"{path}?since=2026-03-01&page_size=2")
    assert (refused.status_code, refused.json()["reason"]) == (400, "FIELD_INVALID")
    (error,) = refused.json()["errors"]
    assert (error["field"], "page_token" in error["detail"]) == ("since", True)
    assert (house.ledger.asked, house.ledger.filters) == ([], [])


async def test_one_event_its_causes_and_a_run_again(rest: httpx2.AsyncClient, house: House) -> None:
    assert (await rest.get("/api/events/id-3")).json()["sequence"] == 3
    assert (await rest.get("/api/events/none")).json()["reason"] == "EVENT_UNKNOWN"
    chain = (await rest.get("/api/events/id-3/causes")).json()
    assert (chain["incomplete"], chain["steps"][0]["summary"]) == (False, "key:alice started a run")
    await rest.get("/api/effects/e-1/causes")
    assert house.ledger.asked == [("id-3", ""), ("", "e-1")]
    replay = (await rest.get("/api/runs/run-1/replay?page_size=2")).json()
    assert [each["summary"] for each in replay["items"]] == ["step 1", "step 2"]
    assert replay["items"][1]["caused_by_sequence"] == 1


def events_in(text: str) -> list[tuple[str, str, int]]:
    """Id, type and sequence of each event that has data."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.splitlines())
        if "data" in lines:
            found.append((lines["id"], lines["event"], json.loads(lines["data"]).get("sequence", 0)))
    return found


async def test_a_stream_begins_goes_on_and_says_why_it_ends(rest: httpx2.AsyncClient) -> None:
    answer = await rest.get("/api/events/stream?from_start=true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: 1000\nid: c0\n\n")
    *told, last = events_in(answer.text)
    assert [each[2] for each in told] == list(range(1, 11))
    assert {each[1] for each in told} == {"RunStarted"}
    assert last[:2] == ("c10", "problem")
    assert "WATCH_TOO_SLOW" in answer.text


@pytest.mark.parametrize("seen", range(1, 11))
async def test_wherever_a_stream_is_cut_the_rest_comes_once_and_in_order(
    rest: httpx2.AsyncClient, seen: int
) -> None:
    first = events_in((await rest.get("/api/events/stream?from_start=true")).text)
    (at,) = (each[0] for each in first if each[2] == seen)
    again = await rest.get("/api/events/stream", headers={"Last-Event-ID": at})
    assert [each[2] for each in events_in(again.text) if each[1] != "problem"] == list(range(seen + 1, 11))


async def test_the_interface_says_what_a_stream_is(rest: httpx2.AsyncClient) -> None:
    paths = (await rest.get("/openapi.json")).json()["paths"]
    assert list(paths["/api/events/stream"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    assert list(paths["/api/promotions"]["get"]["responses"]["200"]["content"]) == ["application/json"]


async def test_the_header_goes_before_the_parameter(rest: httpx2.AsyncClient, house: House) -> None:
    await rest.get("/api/events/stream?cursor=c4", headers={"Last-Event-ID": "c8"})
    await rest.get("/api/events/stream?cursor=c4.6&event_type=RunStarted")
    assert house.ledger.asked == [
        (EventFilter(), WatchFrom("c8")),
        (EventFilter(event_type="RunStarted"), WatchFrom("c4")),
    ]


async def test_a_cursor_that_is_no_good_is_a_problem_before_anything_is_streamed(
    rest: httpx2.AsyncClient,
) -> None:
    answer = await rest.get("/api/events/stream?cursor=another")
    assert (answer.status_code, answer.json()["reason"]) == (400, "CURSOR_INVALID")


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("", ("", 0)),
        ("abc", ("abc", 0)),
        ("abc.12", ("abc", 12)),
        ("abc.x", ("abc", 0)),
        ("abc.²", ("abc", 0)),
    ],
)
def test_an_event_id_is_a_cursor_and_a_sequence(given: str, means: tuple[str, int]) -> None:
    assert resumed(given) == means


async def test_streams_end_when_the_server_does() -> None:
    closed = []

    async def for_ever() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    streams = Streams()
    lines = streams.until_ended(for_ever(), ANONYMOUS)
    assert await anext(lines) == b"one"
    rest = asyncio.ensure_future(anext(lines, None))
    await asyncio.sleep(0)
    streams.end()
    assert await asyncio.wait_for(rest, 5) is None
    assert closed == [True]


async def test_clients_are_told_where_the_socket_is_and_that_it_is_one(rest: httpx2.AsyncClient) -> None:
    assert (await rest.get("/api/config")).json()["websocket_url"] == "ws://gateway/api/events/ws"
    answer = await rest.get("/api/events/ws")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "connect with ws:// or wss://" in answer.json()["detail"]
    assert "/api/events/ws" in (await rest.get("/openapi.json")).json()["paths"]


async def test_one_key_has_only_so_many_streams(
    rest: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.web.streams.PER_KEY", 0)
    answer = await rest.get("/api/events/stream")
    assert (answer.status_code, answer.json()["reason"]) == (429, "TOO_MANY_WATCHES")
