"""Bad input over REST: each is answered with a problem document that names what is wrong, and starts no run."""

import asyncio
import gzip
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provost.error.v1 import reason_pb2
from services.gateway.domain.runs import ProcessLog
from services.gateway.web import bodies, edge
from tests.fakes.doors import ADMIN, VIEWER, FakeMeter, House
from tests.unit.gateway.conftest import client_of

PATH = "/api/process_log"
DOOR = Path(bodies.__file__).parents[1]
# Reasons as they are written in code: words in capitals with an underscore, or INTERNAL.
REASON = re.compile(r'(?<=[(\s])"([A-Z]+(?:_[A-Z]+)+|INTERNAL)"(?=,)')


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in response.text
    return document


def fields(document: dict[str, Any]) -> list[str]:
    return [each["field"] for each in document["errors"]]


@pytest.mark.parametrize(
    ("body", "reason", "named"),
    [
        (b"", "MALFORMED_MESSAGE", ["body"]),
        (b"   ", "MALFORMED_MESSAGE", ["body"]),
        (b"{", "MALFORMED_MESSAGE", ["body"]),
        (b"log=boom", "MALFORMED_MESSAGE", ["body"]),
        (b'"text"', "MALFORMED_MESSAGE", ["body"]),
        (b"[]", "MALFORMED_MESSAGE", ["body"]),
        (b"null", "MALFORMED_MESSAGE", ["body"]),
        (b"NaN", "MALFORMED_MESSAGE", ["body"]),
        (b'{"log": "x", "n": NaN}', "MALFORMED_MESSAGE", ["body"]),
        (b"9" * 5000, "MALFORMED_MESSAGE", ["body"]),
        (b"[" * 200_000, "MALFORMED_MESSAGE", ["body"]),
        (b'{"a":' * 100_000, "MALFORMED_MESSAGE", ["body"]),
        (b"{}", "FIELD_MISSING", ["log"]),
        (b'{"log": null}', "FIELD_INVALID", ["log"]),
        (b'{"log": 1}', "FIELD_INVALID", ["log"]),
        (b'{"log": ["a"]}', "FIELD_INVALID", ["log"]),
        (b'{"log": ""}', "LOG_EMPTY", ["log"]),
        (b'{"log": " \\n\\t "}', "LOG_EMPTY", ["log"]),
        (b'{"log": "x", "mode": "yolo"}', "FIELD_INVALID", ["mode"]),
        (b'{"log": "x", "mode": null}', "FIELD_INVALID", ["mode"]),
        (b'{"log": "x", "mode": "SAFE"}', "FIELD_INVALID", ["mode"]),
        (b'{"log": "x", "llm_config": {"strategy": "magic"}}', "FIELD_INVALID", ["llm_config.strategy"]),
        (b'{"log": "x", "llm_config": "classic"}', "FIELD_INVALID", ["llm_config"]),
        (b'{"log": "x", "include_trace": "yes"}', "FIELD_INVALID", ["include_trace"]),
        (b'{"log": "x", "include_trace": 1}', "FIELD_INVALID", ["include_trace"]),
        (b'{"log": "x", "agent": "../etc"}', "FIELD_INVALID", ["agent"]),
        (b'{"log": "x", "agent": 7}', "FIELD_INVALID", ["agent"]),
        (b'{"log": "x", "request_id": "a.b"}', "FIELD_INVALID", ["request_id"]),
        (b'{"log": "x", "forbidden": [""]}', "FIELD_INVALID", ["forbidden.0"]),
        (b'{"mode": "yolo", "include_trace": 0}', "FIELD_INVALID", ["log", "mode", "include_trace"]),
    ],
)
async def test_what_is_not_understood_is_400_and_named(
    rest: httpx2.AsyncClient, house: House, body: bytes, reason: str, named: list[str]
) -> None:
    document = problem(await rest.post(PATH, content=body), 400)
    assert document["reason"] == reason
    assert fields(document) == named
    assert house.orchestrator.asked == []


@pytest.mark.parametrize(
    ("path", "body", "unknown"),
    [
        ("/api/agents", {"agent_id": "a-1", "parent": "sre-1"}, "parent"),
        ("/api/policy/explain", {"agent_id": "sre-1", "action": "a.b", "env": "production"}, "env"),
        ("/api/budgets", {"scope": "tenant", "limits": {"actions": 1}, "window": 86400}, "window"),
        ("/api/policy/simulate", {"version": "1", "agent": "sre-1"}, "agent"),
        ("/api/runs", {"agent": "sre-1", "task": "t", "objective": "o", "Mode": "safe"}, "Mode"),
        ("/api/agents/sre-1/revoke", {"why": "odd"}, "why"),
    ],
)
async def test_a_field_that_there_is_none_of_is_refused_by_name(
    rest: httpx2.AsyncClient, house: House, path: str, body: dict[str, Any], unknown: str
) -> None:
    document = problem(await rest.post(path, json=body, headers={"X-API-Key": ADMIN}), 400)
    assert (document["reason"], fields(document)) == ("FIELD_INVALID", [unknown])
    assert "is no field of this; there are " in document["detail"]
    assert (house.rules.asked, house.orchestrator.asked, house.policy.receipts) == ([], [], {})


async def test_an_objective_says_something(rest: httpx2.AsyncClient, house: House) -> None:
    body = {"agent": "sre-1", "task": "t", "objective": " \n"}
    document = problem(await rest.post("/api/runs", json=body), 400)
    assert (document["reason"], fields(document)) == ("FIELD_INVALID", ["objective"])
    assert house.orchestrator.asked == []


async def test_a_field_of_an_odd_name_is_told_inert(rest: httpx2.AsyncClient) -> None:
    body = {"agent": "sre-1", "task": "t", "objective": "o", "\x1b[31m" + "x" * 100: 1}
    (named,) = fields(problem(await rest.post("/api/runs", json=body), 400))
    assert named == "?[31m" + "x" * 59


async def test_the_answer_to_a_mistake_does_not_repeat_what_was_sent(rest: httpx2.AsyncClient) -> None:
    canary = "s3cret-canary"
    for body in ({"log": "x", "mode": canary}, {"log": [canary]}, {"log": "x", "agent": f"{canary}/"}):
        assert canary not in (await rest.post(PATH, json=body)).text


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"X-API-Key": ""}, 401, "KEY_MISSING"),
        ({"X-API-Key": "wrong"}, 401, "KEY_UNKNOWN"),
        ({"X-API-Key": VIEWER}, 403, "ROLE_MISSING"),
    ],
)
async def test_who_may_not_is_told_so_and_written_down(
    rest: httpx2.AsyncClient, house: House, headers: dict[str, str], status: int, reason: str
) -> None:
    response = await rest.post(PATH, json={"log": "x"}, headers=headers)
    assert problem(response, status)["reason"] == reason
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert [noted["reason"] for noted in house.refusals.noted] == [reason]
    assert house.orchestrator.asked == []


async def test_who_may_not_is_turned_away_before_the_body_is_read(rest: httpx2.AsyncClient) -> None:
    assert (await rest.post(PATH, content=b"{", headers={"X-API-Key": "wrong"})).status_code == 401


async def test_more_than_the_rate_is_429_with_a_time() -> None:
    async with client_of(House(meter=FakeMeter(left=1))) as rest:
        assert (await rest.post(PATH, json={"log": "x"})).status_code == 200
        refused = await rest.post(PATH, json={"log": "x"})
        assert problem(refused, 429)["reason"] == "RATE_LIMITED"
        assert refused.headers["retry-after"] == "13"
        for path in ("/api/health", "/api/docs", "/api/metrics", "/docs", "/openapi.json", "/api/config"):
            assert (await rest.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": str(10 * 2**30)},
        {"content-length": str(bodies.MAX_BODY_BYTES + 1), "expect": "100-continue"},
    ],
)
async def test_a_declared_length_beyond_the_limit_is_413_before_anything_is_read(
    rest: httpx2.AsyncClient, house: House, headers: dict[str, str]
) -> None:
    read: list[int] = []

    async def endless() -> Any:
        while True:
            read.append(1)
            yield b"x" * 65536

    document = problem(await rest.post(PATH, content=endless(), headers=headers), 413)
    assert (document["reason"], fields(document)) == ("LOG_TOO_LARGE", ["log"])
    assert read == []
    assert house.orchestrator.asked == []


async def test_a_client_that_pauses_is_answered_and_one_that_goes_on_is_heard_out(
    rest: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "PAUSE_SECONDS", 0.3)
    read: list[int] = []

    async def pausing() -> Any:
        for _ in range(100):
            read.append(1)
            yield b"x" * 65536
        await asyncio.Event().wait()

    headers = {"content-length": str(bodies.MAX_BODY_BYTES + 1)}
    async with asyncio.timeout(10):
        problem(await rest.post(PATH, content=pausing(), headers=headers), 413)
    assert len(read) == 100


async def test_a_client_that_sends_drop_by_drop_is_answered_soon(
    rest: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "THROW_SECONDS", 0.3)

    async def dripping() -> Any:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        problem(await rest.post(PATH, content=dripping(), headers={"x-api-key": "wrong"}), 401)


async def test_an_undeclared_length_is_counted_and_ends_at_the_limit(rest: httpx2.AsyncClient) -> None:
    read: list[int] = []

    async def endless() -> Any:
        while True:
            read.append(1 << 20)
            yield bytes(1 << 20)

    headers = {"content-type": "application/octet-stream"}
    problem(await rest.post(PATH, content=endless(), headers=headers), 413)
    assert sum(read) <= bodies.MAX_BODY_BYTES + edge.MAX_THROWN_AWAY_BYTES + (2 << 20)


async def test_small_bodies_have_a_small_limit(rest: httpx2.AsyncClient) -> None:
    big = {"agent": "sre-1", "task": "t", "objective": "x" * (1 << 20)}
    assert problem(await rest.post("/api/runs", json=big), 413)["reason"] == "LOG_TOO_LARGE"


async def test_a_log_of_exactly_the_limit_is_taken_and_one_more_byte_is_not(
    rest: httpx2.AsyncClient, house: House
) -> None:
    raw = {"content-type": "text/plain"}
    log = b"y" * bodies.MAX_LOG_BYTES
    assert (await rest.post(PATH, content=log, headers=raw)).status_code == 200
    problem(await rest.post(PATH, content=log + b"y", headers=raw), 413)
    (asked,) = house.orchestrator.asked
    assert isinstance(asked, ProcessLog)
    assert len(asked.log) == bodies.MAX_LOG_BYTES


@pytest.mark.parametrize(
    ("body", "log"),
    [
        (b'{"log": "ab\xff\xfe c"}', b"ab\xff\xfe c"),
        (b'{"log": "caf\xc3\xa9 \xe2\x82"}', b"caf\xc3\xa9 \xe2\x82"),
        (b'{"log": "\\ud800 lone"}', b"\xff lone"),
        (b'{"log": "\\ud83d\\ude00"}', "😀".encode()),
        (b'{"log": "a\\u0000b\\r\\n\\u001b[31mred"}', b"a\0b\r\n\x1b[31mred"),
    ],
)
async def test_bytes_that_are_not_utf8_and_control_characters_reach_the_run_as_they_came(
    rest: httpx2.AsyncClient, house: House, body: bytes, log: bytes
) -> None:
    assert (await rest.post(PATH, content=body)).status_code == 200
    (asked,) = house.orchestrator.asked
    assert isinstance(asked, ProcessLog)
    assert asked.log == log


async def test_parameters_are_held_to_the_same_rules(rest: httpx2.AsyncClient) -> None:
    raw = {"content-type": "text/plain"}
    document = problem(await rest.post(f"{PATH}?mode=yolo", content=b"x", headers=raw), 400)
    assert fields(document) == ["mode"]
    for path in (
        "/api/runs?page_size=-1",
        "/api/runs?state=DONE",
        "/api/runs/a.b",
        "/api/events?from_time=yesterday",
        "/api/events?from_time=2026-01-01T00:00:00",
    ):
        problem(await rest.get(path), 400)


async def test_what_does_not_exist_is_a_problem_document_too(rest: httpx2.AsyncClient) -> None:
    assert problem(await rest.get("/api/nothing"), 404)["reason"] == "ROUTE_UNKNOWN"
    assert problem(await rest.delete("/api/runs"), 405)["reason"] == "METHOD_NOT_ALLOWED"
    assert problem(await rest.get("/api/runs/unknown"), 404)["reason"] == "RUN_UNKNOWN"
    assert problem(await rest.get("/docs/page.html"), 404)["reason"] == "ROUTE_UNKNOWN"


async def test_a_compressed_body_is_not_unpacked(rest: httpx2.AsyncClient, house: House) -> None:
    bomb = gzip.compress(bytes(50 * 2**20))
    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    problem(await rest.post(PATH, content=bomb, headers=headers), 415)
    assert house.orchestrator.asked == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("log", "mode", "include_trace", "llm_config", "agent", "request_id", "forbidden", "other")


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda value: json.dumps(value).encode())
    | st.text(max_size=80).map(
        lambda log: json.dumps({"log": log, "llm_config": {}}, ensure_ascii=False).encode()
    )
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_is_answered_with_a_run_or_a_problem(body: bytes) -> None:
    async def send() -> httpx2.Response:
        async with client_of(House()) as rest:
            return await rest.post(PATH, content=body)

    answer = asyncio.run(send())
    assert answer.status_code in (200, 202, 400)
    if answer.status_code == 400:
        assert problem(answer, 400)["errors"]


def test_every_reason_of_the_door_is_in_the_list() -> None:
    known = {name.removeprefix("REASON_") for name, _ in reason_pb2.Reason.items()}
    given_here = set(REASON.findall("".join(path.read_text() for path in DOOR.rglob("*.py"))))
    assert given_here - known == set()
    assert {"LOG_TOO_LARGE", "KEY_MISSING", "RATE_LIMITED", "ROUTE_UNKNOWN"} <= given_here


@pytest.mark.parametrize(
    "body",
    [
        b'{"log":"x","more":[' + b"0," * bodies.MIB + b"0]}",
        b'{"log":"x","more":[' + b'"",' * bodies.MIB + b'""]}',
        b"[" * 3 * bodies.MIB,
        b'{"log":"' + b'\\"' * bodies.MIB + b'","x":' + b" " * 2 * bodies.MIB + b"1}",
    ],
)
async def test_what_is_large_is_one_log_and_not_a_million_values(
    rest: httpx2.AsyncClient, house: House, body: bytes
) -> None:
    answer = problem(await rest.post(PATH, content=body), 400)
    assert answer["reason"] == "MALFORMED_MESSAGE"
    assert "besides its strings" in answer["detail"]
    assert house.orchestrator.asked == []


@pytest.mark.parametrize("piece", [b'\\"', b"\\n", b"\\\\", b"x", b"\\u0041"])
async def test_a_large_log_comes_through_whatever_is_escaped_in_it(
    rest: httpx2.AsyncClient, house: House, piece: bytes
) -> None:
    text = b"x" + piece * (2 * bodies.MIB // len(piece))
    assert (await rest.post(PATH, content=b'{"log":"' + text + b'"}')).status_code == 200
    (asked,) = house.orchestrator.asked
    assert isinstance(asked, ProcessLog)
    assert asked.log == json.loads(b'"' + text + b'"').encode()
    unended = problem(await rest.post(PATH, content=b'{"log":"' + text), 400)
    assert "is not JSON" in unended["detail"]
