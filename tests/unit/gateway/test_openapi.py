"""The OpenAPI document is the truth: what the routes answer, well or not, is held against what it says of them."""

from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from kernel.faults import Conflict, Exhausted, Fault, Refused, Unavailable
from services.gateway.domain.records import Component
from services.gateway.web.shapes import ReleaseBody
from services.state.domain.lock import MAX_REASON_CHARACTERS
from tests.fakes.doors import ADMIN, FakeProbe, House
from tests.unit.gateway.conftest import client_of
from tests.unit.gateway.test_once import CHANGES

READS = {
    "/": "/",
    "/api/runs": "/api/runs",
    "/api/runs/{run_id}": "/api/runs/run-1",
    "/api/approvals": "/api/approvals",
    "/api/agents": "/api/agents",
    "/api/agents/{agent_id}": "/api/agents/sre-1",
    "/api/agents/{agent_id}/receipt": "/api/agents/sre-1/receipt",
    "/api/policy": "/api/policy",
    "/api/policy/versions": "/api/policy/versions",
    "/api/budgets": "/api/budgets",
    "/api/events": "/api/events",
    "/api/events/stream": "/api/events/stream",
    "/api/events/ws": "/api/events/ws",
    "/api/events/{event_id}": "/api/events/id-7",
    "/api/events/{event_id}/causes": "/api/events/id-7/causes",
    "/api/effects/{effect_id}/causes": "/api/effects/e-1/causes",
    "/api/runs/{run_id}/replay": "/api/runs/run-1/replay",
    "/api/violations": "/api/violations",
    "/api/promotions": "/api/promotions",
    "/api/approval_records": "/api/approval_records",
    "/api/agent_actions": "/api/agent_actions",
    "/api/agent_metrics": "/api/agent_metrics",
    "/api/tasks": "/api/tasks",
    "/api/tasks/{task_id}": "/api/tasks/task-1",
    "/api/tasks/{task_id}/board": "/api/tasks/task-1/board",
    "/api/tasks/{task_id}/messages": "/api/tasks/task-1/messages",
    "/api/locks": "/api/locks",
    "/api/stuck": "/api/stuck",
    "/api/erasures": "/api/erasures",
    "/api/ledger/head": "/api/ledger/head",
    "/tlog/checkpoint": "/tlog/checkpoint",
    "/tlog/tile/entries/{place}": "/tlog/tile/entries/000.p/5",
    "/tlog/tile/{level}/{place}": "/tlog/tile/0/000.p/5",
    "/api/health": "/api/health",
    "/api/config": "/api/config",
    "/api/docs": "/api/docs",
    "/api/metrics": "/api/metrics",
    "/api/openapi.json": "/api/openapi.json",
    "/openapi.json": "/openapi.json",
    "/openapi_custom.json": "/openapi_custom.json",
    "/docs": "/docs",
    "/docs/{asset}": "/docs/page.js",
}
ASKS: dict[str, dict[str, Any]] = {
    "/api/policy/validate": {"document": "x"},
    "/api/policy/diff": {"version": "2"},
    "/api/policy/explain": {"agent_id": "sre-1", "action": "a.b"},
    "/api/policy/simulate": {"version": "2"},
    "/api/ledger/verify": {},
}
POSTS = CHANGES | ASKS


async def test_every_route_answers_as_the_document_says(rest: httpx2.AsyncClient, house: House) -> None:
    """In the order of the table: what is made first is what the reading routes find."""
    house.policy.wants("approval-1", "key:somebody")
    document = (await rest.get("/openapi.json")).json()
    rows = {f"{method} {path}" for path, methods in document["paths"].items() for method in methods}
    assert rows == {f"post {path}" for path in POSTS} | {f"get {path}" for path in READS}
    for path, body in POSTS.items():
        filled = path.format(agent_id="sre-1", approval_id="approval-1", task_id="task-1")
        answer = await rest.post(filled, json=body, headers={"X-API-Key": ADMIN})
        assert answer.status_code in (200, 202), (path, answer.text)
        agrees(document, "post", path, answer)
    for path, filled in READS.items():
        answer = await rest.get(filled, headers={"X-API-Key": ADMIN})
        assert answer.status_code in (200, 202, 307, 426), (path, answer.text)
        agrees(document, "get", path, answer)


@pytest.mark.parametrize(
    "fault",
    [
        Conflict("AGENT_ALREADY_REGISTERED", "taken"),
        Refused("RUN_ENDED", "over"),
        Exhausted("LOG_FULL", "full"),
        Unavailable("PEER_UNREACHABLE", "it does not answer"),
    ],
)
async def test_what_is_refused_is_a_problem_as_the_document_says(
    fault: Fault, rest: httpx2.AsyncClient, house: House
) -> None:
    document = (await rest.get("/openapi.json")).json()
    house.fails_with(fault)
    agrees(document, "post", "/api/process_log", await rest.post("/api/process_log", json={"log": "x"}))
    for method, path, filled in (
        ("get", "/api/runs/{run_id}", "/api/runs/nope"),
        ("get", "/api/runs/{run_id}", "/api/runs/no%20pe"),
        ("get", "/tlog/tile/{level}/{place}", "/tlog/tile/9/zzz"),
        ("post", "/api/erasures", "/api/erasures"),
    ):
        agrees(document, method, path, await rest.request(method, filled))


async def test_a_run_that_waits_and_ill_health_are_told_as_the_document_says() -> None:
    away = FakeProbe((Component("ledger", False, -1, "it does not answer"),))
    async with client_of(House(probe=away)) as rest:
        document = (await rest.get("/openapi.json")).json()
        agrees(document, "get", "/api/health", await rest.get("/api/health"))
        for path in ("/api/process_log", "/process_log"):
            waits = await rest.post(path, json={"log": "x", "mode": "assisted"})
            assert waits.status_code == 202
            agrees(document, "post", path, waits)


async def test_bodies_say_which_fields_there_are_and_that_there_are_no_more(
    rest: httpx2.AsyncClient,
) -> None:
    document = (await rest.get("/openapi.json")).json()
    for path, body in POSTS.items():
        described = document["paths"][path]["post"].get("requestBody")
        assert (described is None) == (path == "/api/ledger/verify")
        if described is not None:
            schema = described["content"]["application/json"]["schema"]
            assert errors(document, schema, body) == []
            lenient = path.endswith("process_log")
            assert bool(errors(document, schema, body | {"colour": "red"})) != lenient


def agrees(document: dict[str, Any], method: str, path: str, answer: httpx2.Response) -> None:
    """Its status, its media type and all of it are described at the route."""
    said = document["paths"][path][method]["responses"]
    described = said.get(str(answer.status_code)) or said["default"]
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert (kind in described.get("content", {})) == bool(answer.content), (path, answer.status_code, kind)
    if kind.endswith("json"):
        found = errors(document, described["content"][kind]["schema"], answer.json())
        assert found == [], (path, answer.status_code)


def errors(document: dict[str, Any], schema: dict[str, Any], value: object) -> list[str]:
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [f"{each.json_path}: {each.message}" for each in validator.iter_errors(value)]


async def test_every_body_has_an_example_or_names_what_it_needs(rest: httpx2.AsyncClient) -> None:
    """What the page offers to send: examples that would be taken, else the fields that are required."""
    document = (await rest.get("/openapi.json")).json()
    for path in POSTS:
        described = document["paths"][path]["post"].get("requestBody", {"required": False})
        if described["required"]:
            schema = described["content"]["application/json"]["schema"]
            shape = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            assert shape.get("examples") or shape["required"], path
            for example in shape.get("examples", ()):
                assert errors(document, schema, example) == []
                filled = path.format(agent_id="sre-1", approval_id="nope", task_id="task-1")
                answer = await rest.post(filled, json=example, headers={"X-API-Key": ADMIN})
                assert answer.status_code in (200, 202, 404), (path, answer.text)


async def test_the_front_page_is_the_docs(rest: httpx2.AsyncClient) -> None:
    answer = await rest.get("/", headers={"X-API-Key": ""})
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_a_reason_to_take_a_lock_away_may_be_as_long_as_state_takes_it() -> None:
    longest = ReleaseBody.model_json_schema()["properties"]["reason"]["maxLength"]
    assert longest == MAX_REASON_CHARACTERS
