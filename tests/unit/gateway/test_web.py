"""REST as callers see it when all is well, and when something behind it is not."""

import grpc
import httpx2
import pytest
from prometheus_client import REGISTRY

from chassis.rpc.faults import PeerFailed
from kernel.faults import Conflict, Denied, Exhausted, Fault, Refused, Unavailable
from services.gateway.domain.callers import Keyring
from services.gateway.domain.records import Component, EventFilter
from services.gateway.domain.runs import Mode, ProcessLog, StartRun, Strategy
from services.gateway.web.routes.about import RIGHTS
from tests.fakes.doors import ADMIN, APPROVER, OPERATOR, OTHER, VIEWER, FakeProbe, House
from tests.unit.gateway.conftest import client_of

LOG = "Jan 1 00:00:01 web1 kernel: Out of memory: Killed process 4242 (java)\n"


async def test_the_main_job(rest: httpx2.AsyncClient, house: House) -> None:
    body = {"log": LOG, "mode": "safe", "include_trace": True, "llm_config": {"strategy": "classic"}}
    answer = await rest.post("/api/process_log", json=body)
    assert answer.status_code == 200
    run = answer.json()
    assert run["run_id"] == "run-1"
    assert run["incident"]["evidence"] == [{"id": "e1", "line": 1, "text": LOG.strip(), "hash": "cd" * 32}]
    assert run["incident"]["patterns"][0] == {
        "template": "Out of memory: <*>", "count": 1, "first_line": 1, "last_line": 1,
    }  # fmt: skip
    assert {"plan", "decisions", "outcome", "trace", "sequence"} <= set(run)
    assert run["trace"][0]["cycle"] == 1
    assert answer.headers["location"] == "/api/runs/run-1"
    (asked,) = house.orchestrator.asked
    assert isinstance(asked, ProcessLog)
    assert (asked.log, asked.mode, asked.strategy) == (LOG.encode(), Mode.SAFE, Strategy.CLASSIC)
    assert house.orchestrator.callers[0].actor.startswith("key:operator-")


async def test_safe_is_what_happens_when_nothing_is_said(rest: httpx2.AsyncClient, house: House) -> None:
    await rest.post("/api/process_log", json={"log": LOG})
    (asked,) = house.orchestrator.asked
    assert isinstance(asked, ProcessLog)
    assert (asked.mode, asked.strategy, asked.include_trace) == (Mode.SAFE, None, True)


async def test_no_trace_when_none_was_asked_for(rest: httpx2.AsyncClient) -> None:
    run = (await rest.post("/api/process_log", json={"log": LOG, "include_trace": False})).json()
    assert "trace" not in run


async def test_a_run_that_waits_for_a_person_is_202(rest: httpx2.AsyncClient) -> None:
    answer = await rest.post("/api/process_log", json={"log": LOG, "mode": "assisted"})
    assert answer.status_code == 202
    assert answer.json()["waiting_for"] == ["approval-1"]
    assert answer.json()["outcome"]["state"] == "WAITING"


async def test_fields_nobody_knows_are_ignored_and_named(rest: httpx2.AsyncClient) -> None:
    body = {"log": LOG, "colour": "red", "llm_config": {"strategy": "classic", "model": "m"}, "a\x1b[31m": 1}
    run = (await rest.post("/api/process_log", json=body)).json()
    assert run["ignored_fields"] == ["colour", "a?[31m", "llm_config.model"]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/octet-stream", "text/plain; charset=utf-8"]
)
async def test_a_raw_log_with_parameters(rest: httpx2.AsyncClient, house: House, media_type: str) -> None:
    log = b"disk \xff full\n"
    answer = await rest.post(
        "/api/process_log?mode=auto&strategy=reflective&agent=sre-2&request_id=r-1",
        content=log,
        headers={"content-type": media_type},
    )
    assert answer.status_code == 200
    assert answer.json()["source"]["replaced_bytes"] == 1
    (asked,) = house.orchestrator.asked
    assert asked == ProcessLog("r-1", log, Mode.AUTO, Strategy.REFLECTIVE, True, "sre-2", ())


async def test_beside_json_the_query_says_nothing_and_it_is_said_where_to_say_it(
    rest: httpx2.AsyncClient, house: House
) -> None:
    asked = "mode=assisted&agent=sre-2&request_id=r-1&subject=ann&include_trace=false&strategy=classic"
    for path in ("/api/process_log", "/process_log"):
        answer = await rest.post(f"{path}?{asked}", json={"log": LOG})
        assert (answer.status_code, answer.json()["reason"]) == (400, "FIELD_INVALID")
        said = {each["field"]: each["detail"] for each in answer.json()["errors"]}
        assert list(said) == ["agent", "include_trace", "mode", "request_id", "strategy", "subject"]
        assert "`mode` in the body" in said["mode"]
        assert "`llm_config.strategy` in the body" in said["strategy"]
    assert house.orchestrator.asked == []
    bare = {"X-API-Key": ""}
    answer = await rest.post(f"/api/process_log?api_key={OPERATOR}", json={"log": LOG}, headers=bare)
    assert answer.status_code == 200


async def test_the_same_request_id_is_the_same_run(rest: httpx2.AsyncClient, house: House) -> None:
    first = await rest.post("/api/process_log", json={"log": LOG, "request_id": "once"})
    again = await rest.post("/api/process_log", json={"log": LOG}, headers={"Idempotency-Key": '"once"'})
    assert first.json()["run_id"] == again.json()["run_id"]
    differs = await rest.post(
        "/api/process_log", json={"log": LOG, "request_id": "a"}, headers={"Idempotency-Key": "b"}
    )
    assert differs.status_code == 400
    assert (
        await rest.post("/api/process_log", json={"log": LOG}, headers={"Idempotency-Key": "a b"})
    ).status_code == 400
    assert len(house.orchestrator.asked) == 2


async def test_the_older_form_answers_the_reasoning_alone_and_says_it_is_deprecated(
    rest: httpx2.AsyncClient,
) -> None:
    answer = await rest.post("/process_log", json={"log": LOG})
    assert answer.status_code == 200
    assert set(answer.json()) == {"reasoning"}
    assert answer.json()["reasoning"]["cycles"][0]["belief"] == "memory"
    assert answer.headers["deprecation"].startswith("@")  # RFC 9745, section 2.1
    assert 'rel="successor-version"' in answer.headers["link"]


async def test_the_key_may_stand_in_the_query(rest: httpx2.AsyncClient) -> None:
    bare = {"X-API-Key": ""}
    assert (await rest.get(f"/api/agents?api_key={VIEWER}", headers=bare)).status_code == 200
    assert (await rest.get("/api/agents?api_key=wrong", headers=bare)).status_code == 401


async def test_a_run_without_a_log(rest: httpx2.AsyncClient, house: House) -> None:
    body = {"agent": "sre-1", "task": "t-1", "objective": "look at the disks", "request_id": "r"}
    answer = await rest.post("/api/runs", json=body)
    assert (answer.status_code, answer.json()["state"]) == (202, "RUNNING")
    assert house.orchestrator.asked == [StartRun("r", "sre-1", "t-1", "look at the disks", Mode.SAFE)]
    assert (await rest.get(f"/api/runs/{answer.json()['run_id']}")).status_code == 202
    listed = (await rest.get("/api/runs?state=RUNNING&page_size=5")).json()
    assert [run["run_id"] for run in listed["items"]] == [answer.json()["run_id"]]
    assert listed["next_page_token"] == ""


async def test_approvals_are_for_approvers_and_not_for_who_asked(
    rest: httpx2.AsyncClient, house: House
) -> None:
    house.policy.wants("approval-1", "key:somebody")
    (waiting,) = (await rest.get("/api/approvals")).json()["items"]
    assert (waiting["approval_id"], waiting["state"]) == ("approval-1", "PENDING")
    answer = {"approve": True, "comment": "go"}
    assert (await rest.post("/api/approvals/approval-1", json=answer)).status_code == 403
    approver = {"X-API-Key": APPROVER}
    answered = await rest.post("/api/approvals/approval-1", json=answer, headers=approver)
    assert (answered.status_code, answered.json()["state"]) == (200, "APPROVED")
    house.policy.wants("approval-2", answered.json()["answered_by"])
    own = await rest.post("/api/approvals/approval-2", json=answer, headers=approver)
    assert (own.status_code, own.json()["reason"]) == (403, "SELF_APPROVAL")
    for body, reason in (
        ({}, "FIELD_MISSING"),
        ({"vote": "maybe"}, "FIELD_INVALID"),
        ({"vote": "reject", "approve": True}, "FIELD_INVALID"),
    ):
        bad = await rest.post("/api/approvals/approval-2", json=body, headers=approver)
        assert (bad.status_code, bad.json()["reason"]) == (400, reason)
        assert bad.json()["errors"][0]["field"] == "vote"
    house.policy.wants("approval-3", "key:somebody")
    wish = {"vote": "request_changes", "comment": "one host first"}
    sent_back = await rest.post("/api/approvals/approval-3", json=wish, headers=approver)
    assert sent_back.status_code == 200, sent_back.text
    assert (sent_back.status_code, sent_back.json()["state"]) == (200, "CHANGES_REQUESTED")
    assert [each["vote"] for each in sent_back.json()["votes"]] == ["REQUEST_CHANGES"]


async def test_agents_can_be_seen_and_revoked(rest: httpx2.AsyncClient) -> None:
    (agent,) = (await rest.get("/api/agents")).json()["items"]
    assert (agent["agent_id"], agent["tier"]) == ("sre-1", "T1_OPERATOR")
    revoked = (await rest.post("/api/agents/sre-1/revoke", json={"reason": "odd"})).json()
    assert (revoked["state"], revoked["revoke_reason"]) == ("REVOKED", "odd")
    assert revoked["receipt"]["silent"] == ["state/r2:locks"]
    assert revoked["receipt"]["lost"][0]["powerless_ms"] == 1.5
    assert (await rest.get("/api/agents/sre-1/receipt")).json() == revoked["receipt"]
    assert (await rest.get("/api/agents/nobody/receipt")).status_code == 404
    assert (await rest.post("/api/agents/sre-1/revoke", json={"wait_ms": 10_001})).status_code == 400
    assert (await rest.post("/api/agents/sre-1/revoke")).status_code == 200
    assert (await rest.post("/api/agents/nobody/revoke")).status_code == 404


async def test_the_ledger_is_asked_what_was_asked(rest: httpx2.AsyncClient, house: House) -> None:
    path = "/api/events?correlation_id=run-1&event_type=RunStarted&from_time=2026-01-01T00:00:00Z"
    (event,) = (await rest.get(path)).json()["items"]
    assert event["subject"].startswith("evt.default.")
    (asked,) = house.ledger.filters
    assert isinstance(asked, EventFilter)
    assert (asked.correlation_id, asked.event_type) == ("run-1", "RunStarted")
    assert asked.from_time is not None
    assert (await rest.get("/api/agent_actions?decision=DENY")).json()["items"] == []
    assert (await rest.get("/api/agent_metrics")).json()["items"][0]["total_runs"] == 3
    assert (await rest.get("/api/ledger/head")).json()["tree_size"] == 7
    assert (await rest.post("/api/ledger/verify")).json()["ok"] is True
    assert (await rest.post("/api/ledger/verify", headers={"X-API-Key": VIEWER})).status_code == 403
    assert (await rest.post("/api/ledger/verify", headers={"X-API-Key": ADMIN})).status_code == 200


async def test_health_says_what_is_not_well(rest: httpx2.AsyncClient, house: House) -> None:
    assert (await rest.get("/api/health", headers={"X-API-Key": ""})).json()["status"] == "ok"
    away = FakeProbe((Component("ledger", False, -1, "it does not answer"),))
    async with client_of(House(probe=away)) as ill:
        answer = await ill.get("/api/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert answer.json()["components"][0]["detail"] == "it does not answer"


async def test_the_interface_describes_itself(rest: httpx2.AsyncClient) -> None:
    whole = (await rest.get("/openapi.json")).json()
    assert whole == (await rest.get("/openapi_custom.json")).json()
    assert {f"{m.upper()} {path}" for path, methods in whole["paths"].items() for m in methods} == set(RIGHTS)
    part = (await rest.get("/api/openapi.json")).json()
    assert all(path.startswith("/api/") for path in part["paths"])
    assert "/process_log" in whole["paths"]
    assert whole["paths"]["/process_log"]["post"]["deprecated"] is True
    listed = {
        f"{each['method']} {each['path']}": each["role"] for each in (await rest.get("/api/docs")).json()
    }
    assert listed == {row: str(right) for row, right in RIGHTS.items()}
    assert "422" not in str(whole)


async def test_the_page_loads_nothing_from_elsewhere(rest: httpx2.AsyncClient) -> None:
    for path in ("/docs", "/docs/page.js", "/docs/page.css"):
        answer = await rest.get(path)
        assert answer.status_code == 200
        assert "//" not in answer.text.replace("// ", "").replace("/* ", ""), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert "innerHTML" not in (await rest.get("/docs/page.js")).text


async def test_metrics_name_routes_and_nothing_of_the_caller(rest: httpx2.AsyncClient) -> None:
    await rest.get("/api/runs/canary-run")
    await rest.get("/api/runs/canary-run?x=canary-query")
    await rest.get("/canary-path")
    page = (await rest.get("/api/metrics")).text
    assert 'provost_http_requests_total{route="GET /api/runs/{run_id}",status="404"}' in page
    assert 'provost_http_requests_total{route="GET /api/runs/{run_id}",status="400"}' in page
    assert "canary" not in page
    assert OPERATOR not in page


async def test_metrics_for_everyone_name_no_tenant(rest: httpx2.AsyncClient) -> None:
    await rest.get("/api/agents")
    assert REGISTRY.get_sample_value("provost_tenant_requests_total", {"tenant": "default", "outcome": "ok"})
    page = (await rest.get("/api/metrics")).text
    assert "provost_http_requests_total{" in page
    assert 'tenant="' not in page


async def test_metrics_name_tenants_and_how_their_requests_ended(
    rest: httpx2.AsyncClient, house: House
) -> None:
    def counted(tenant: str) -> dict[str, float]:
        return {
            outcome: REGISTRY.get_sample_value(
                "provost_tenant_requests_total", {"tenant": tenant, "outcome": outcome}
            )
            or 0.0
            for outcome in ("ok", "refused", "failed")
        }

    before = {tenant: counted(tenant) for tenant in ("default", "acme", "")}
    await rest.get("/api/runs")
    await rest.get("/api/runs/no-such-run")
    await rest.get("/api/runs", headers={"X-API-Key": OTHER})
    await rest.get("/api/runs", headers={"X-API-Key": "wrong"})
    await rest.get("/api/health", headers={"X-API-Key": "", "X-Tenant": "acme"})
    house.fails_with(Unavailable("PEER_UNREACHABLE", "orchestrator does not answer"))
    await rest.post("/api/process_log", json={"log": LOG}, headers={"X-API-Key": OTHER})
    more = {
        tenant: {outcome: n - was[outcome] for outcome, n in counted(tenant).items()}
        for tenant, was in before.items()
    }
    assert more == {
        "default": {"ok": 1, "refused": 1, "failed": 0},
        "acme": {"ok": 1, "refused": 0, "failed": 1},
        "": {"ok": 1, "refused": 0, "failed": 0},
    }


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [
        (Unavailable("PEER_UNREACHABLE", "orchestrator does not answer"), 503, True),
        (Unavailable("NO_AGENT_FREE", "all are busy", retry_after_seconds="7"), 503, True),
        (Exhausted("LOG_TOO_LARGE", "too large"), 413, False),
        (Exhausted("LOG_FULL", "full"), 507, False),
        (Conflict("AGENT_ALREADY_REGISTERED", "taken"), 409, False),
        (Refused("RUN_ENDED", "over"), 409, False),
        (Denied("TENANT_MISMATCH", "not yours"), 403, False),
    ],
)
async def test_faults_of_peers_become_problems(
    rest: httpx2.AsyncClient, house: House, fault: Fault, status: int, retry_after: bool
) -> None:
    house.fails_with(fault)
    answer = await rest.post("/api/process_log", json={"log": LOG})
    assert (answer.status_code, answer.json()["reason"]) == (status, fault.reason)
    assert ("retry-after" in answer.headers) == retry_after


async def test_a_bug_is_told_by_a_number_and_nothing_else(rest: httpx2.AsyncClient, house: House) -> None:
    house.fails_with(RuntimeError("s3cret-canary"))
    answer = await rest.post("/api/process_log", json={"log": LOG})
    assert (answer.status_code, answer.json()["reason"]) == (500, "INTERNAL")
    assert "canary" not in answer.text
    assert "content-security-policy" in answer.headers
    house.fails_with(PeerFailed(grpc.StatusCode.INTERNAL, "s3cret-canary"))
    answer = await rest.post("/api/process_log", json={"log": LOG})
    assert answer.status_code == 502
    assert "canary" not in answer.text


REBOUND = {"Host": "evil.example:5000", "Origin": "http://evil.example:5000", "Sec-Fetch-Site": "same-origin"}
READING = {"Host": "evil.example:5000"}
"""What a browser says of itself when such a page, over http, only reads."""


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        REBOUND,
        READING,
        {"Host": "["},
    ],
)
async def test_an_open_door_is_closed_to_other_sites_pages(headers: dict[str, str]) -> None:
    house = House(keys=Keyring(()))
    async with client_of(house, key="") as browser:
        raw = {"content-type": "text/plain", "Host": "127.0.0.1:5000"}
        assert (await browser.post("/api/process_log", content=LOG, headers=raw)).status_code == 200
        for host in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000"):
            own = raw | {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
            assert (await browser.post("/api/process_log", content=LOG, headers=own)).status_code == 200
        refused = await browser.post("/api/process_log", content=LOG, headers=raw | headers)
        assert (refused.status_code, refused.json()["reason"]) == (403, "ORIGIN_REFUSED")
    assert [noted["reason"] for noted in house.refusals.noted] == ["ORIGIN_REFUSED"]
    async with client_of(House()) as known:
        assert (await known.post("/api/process_log", content=LOG, headers=raw | headers)).status_code == 200
