"""Rules, budgets and agents' standing over REST: questions arrive as asked, mistakes are named, roles are kept."""

import json
from typing import Any

import grpc.aio
import httpx2
import pytest

from kernel.faults import Exhausted, Invalid
from provost.policy.v1 import policy_pb2 as pb
from services.gateway.adapters.rules import PUBLISH_SECONDS, RulesPeer
from services.gateway.domain.records import Page
from services.gateway.domain.rules import AskWhy, Publish, RollBack, Simulate
from services.gateway.domain.standing import Move, Register, SetBudget
from services.gateway.wire import rules as wire
from tests.fakes.doors import ADMIN, AUDITOR, OPERATOR, VIEWER, House

AS_ADMIN = {"X-API-Key": ADMIN}


async def test_the_set_in_force_and_its_history_are_shown(rest: httpx2.AsyncClient, house: House) -> None:
    shown = (await rest.get("/api/policy")).json()
    assert shown == {"version": "1", "document": 'version: "1"\n', "sequence": 3}
    unknown = await rest.get("/api/policy?version=9")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "POLICY_SET_UNKNOWN")
    listed = (await rest.get("/api/policy/versions?page_size=2")).json()
    assert (listed["items"][0]["in_force"], listed["next_page_token"]) == (True, "more")
    assert house.rules.asked == [Page(2, "")]


async def test_a_set_is_validated_compared_published_and_rolled_back(
    rest: httpx2.AsyncClient, house: House
) -> None:
    found = (await rest.post("/api/policy/validate", json={"document": "x"})).json()
    assert (found["ok"], found["problems"][0]["line"], found["tests"][0]["passed"]) == (False, 2, False)
    compared = await rest.post("/api/policy/diff", json={"version": "2"})
    assert compared.json()["differences"][0]["wider"] is True
    body = {"document": "x", "replaces": "1", "why": "because", "request_id": "r-1"}
    published = await rest.post("/api/policy", json=body, headers=AS_ADMIN)
    warning = {"line": 7, "column": 3, "path": "rules/0/rego", "text": "no rule reads it"}
    assert published.json() == {"version": "2", "sequence": 4, "warnings": [warning]}
    back = {"version": "1", "replaces": "2", "request_id": "r-2"}
    assert (await rest.post("/api/policy/rollback", json=back, headers=AS_ADMIN)).json()["version"] == "1"
    assert house.rules.asked == [
        "x",
        ("", "2", ""),
        Publish("r-1", "x", "1", "because"),
        RollBack("r-2", "1", "2", ""),
    ]
    stale = await rest.post("/api/policy", json=body | {"replaces": "0"}, headers=AS_ADMIN)
    assert (stale.status_code, stale.json()["reason"]) == (409, "POLICY_SET_STALE")


async def test_whatever_puts_a_set_in_force_has_the_time_that_its_tests_take() -> None:
    """Both look it over."""
    asked: dict[Any, float] = {}

    class Asked:
        channel = grpc.aio.insecure_channel("localhost:1")

        async def ask(self, method: Any, request: Any, caller: Any, seconds: float = 5.0) -> Any:
            asked[type(request)] = seconds
            return pb.PublishPolicySetResponse()

    peer: Any = RulesPeer(Asked())  # type: ignore[arg-type]
    await peer.publish(Publish("r", "x", "1", ""), None)
    await peer.roll_back(RollBack("r", "1", "2", ""), None)
    assert list(asked.values()) == [PUBLISH_SECONDS] * 2


async def test_a_set_of_a_mebibyte_fits(rest: httpx2.AsyncClient, house: House) -> None:
    document = "# " + "ä\n" * (350 * 1024)
    assert (await rest.post("/api/policy/validate", json={"document": document})).status_code == 200
    assert house.rules.asked == [document]
    assert (await rest.post("/api/policy/validate", json={"document": "x" * 1_200_000})).status_code == 400


async def test_why_is_asked_with_everything_that_counts(rest: httpx2.AsyncClient, house: House) -> None:
    body: dict[str, Any] = {
        "agent_id": "sre-1",
        "action": "service.restart",
        "target": "web",
        "task_id": "task-1",
    }
    body |= {
        "environment": "production",
        "parameters": {"unit": "web"},
        "tier": "T3_EXECUTOR",
        "mode": "assisted",
    }
    answer = (await rest.post("/api/policy/explain", json=body, headers={"X-API-Key": VIEWER})).json()
    assert (answer["decision"], answer["changes"][0]["to"]) == ("DENY", "T3_EXECUTOR")
    assert [each["passed"] for each in answer["checks"]] == [True, False]
    assert house.rules.asked == [
        AskWhy(
            "sre-1", "task-1", "explain", "assisted", "service.restart", "web", "production", {"unit": "web"}, (),
            "T3_EXECUTOR", "",
        )
    ]  # fmt: skip
    await rest.post(
        "/api/policy/explain", json={"agent_id": "sre-1", "action": "a.b"}, headers={"X-API-Key": VIEWER}
    )
    assert house.rules.asked[-1].task_id == "", "policy knows which task the agent's packet is of"


async def test_a_simulation_is_told_as_it_goes(rest: httpx2.AsyncClient, house: House) -> None:
    body = {"version": "2", "from_time": "2026-03-01T00:00:00Z", "max_flips": 5}
    answer = await rest.post("/api/policy/simulate", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [
        dict(line.split(": ", 1) for line in each.splitlines()) for each in answer.text.strip().split("\n\n")
    ]
    assert [each["event"] for each in events] == ["progress", "done"]
    first = json.loads(events[0]["data"])
    assert (first["flips"][0]["after_reason"], first["totals"]["by_change"]) == (
        "TIER_TOO_LOW",
        {"ALLOW>DENY": 1},
    )
    (asked,) = house.rules.asked
    assert isinstance(asked, Simulate)
    assert (asked.version, str(asked.from_time), asked.max_flips) == ("2", "2026-03-01 00:00:00+00:00", 5)
    assert house.rules.simulating == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Exhausted("TOO_MANY_SIMULATIONS", "two are under way"), 429),
        (
            Invalid("POLICY_SET_INVALID", "line 1, column 1: no", path="version", place="line 1, column 1"),
            400,
        ),
    ],
)
async def test_a_simulation_that_does_not_begin_is_a_problem(
    fault: Any, status: int, rest: httpx2.AsyncClient, house: House
) -> None:
    house.rules.fault = fault
    answer = await rest.post("/api/policy/simulate", json={"document": "x"})
    assert (answer.status_code, answer.json()["reason"]) == (status, fault.reason)


async def test_all_that_is_wrong_with_a_set_is_told_when_it_is_published(
    rest: httpx2.AsyncClient, house: House
) -> None:
    fault = Invalid("POLICY_SET_INVALID", "line 3, column 1 at a: no; line 4, column 1 at b: no", path="a")
    fault.errors = (("a", "line 3, column 1: no"), ("b", "line 4, column 1: no"))
    house.rules.fault = fault
    body = {"document": "x", "replaces": "1"}
    answer = await rest.post("/api/policy", json=body, headers=AS_ADMIN)
    assert (answer.status_code, answer.json()["reason"]) == (400, "POLICY_SET_INVALID")
    assert answer.json()["errors"] == [
        {"field": "a", "detail": "line 3, column 1: no"},
        {"field": "b", "detail": "line 4, column 1: no"},
    ]


@pytest.mark.parametrize(
    ("body", "status", "field", "said"),
    [
        (b'{"document": "version: \xff"}', 400, "document", "is not UTF-8: save it as UTF-8"),
        (b'{"document": "' + b"x" * 1_100_001 + b'"}', 400, "document", "must have at most 1100000 characters"),
        (b'{"document": "' + b"x" * 3_200_000 + b'"}', 413, "document", "a policy set may have 1 MiB"),
    ],
)  # fmt: skip
async def test_a_set_that_is_no_text_or_too_large_is_told_so_in_plain_words(
    body: bytes, status: int, field: str, said: str, rest: httpx2.AsyncClient, house: House
) -> None:
    headers = {**AS_ADMIN, "content-type": "application/json"}
    answer = await rest.post("/api/policy/validate", content=body, headers=headers)
    assert answer.status_code == status
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert said in error["detail"]
    assert house.rules.asked == []


async def test_budgets_are_seen_and_set(rest: httpx2.AsyncClient, house: House) -> None:
    (budget,) = (await rest.get("/api/budgets?agent_id=sre-1")).json()["items"]
    assert (budget["scope"], budget["lines"]) == (
        "agent",
        [{"unit": "actions", "most": 9, "spent": 3, "reserved": 1}],
    )
    body = {
        "scope": "task",
        "scope_id": "t-1",
        "limits": {"tokens": 5},
        "window_seconds": 60,
        "request_id": "r",
    }
    made = (await rest.post("/api/budgets", json=body, headers=AS_ADMIN)).json()
    assert (made["budget_id"], made["lines"][0]["most"]) == ("hand", 5)
    assert house.rules.asked[1:] == [SetBudget("r", "task", "t-1", {"tokens": 5}, 60, "")]


async def test_agents_are_registered_and_moved(rest: httpx2.AsyncClient, house: House) -> None:
    body = {"agent_id": "new-1", "tier": "T1_OPERATOR", "parent_agent_id": "sre-1", "request_id": "r"}
    assert (await rest.post("/api/agents", json=body, headers=AS_ADMIN)).json()["tier"] == "T1_OPERATOR"
    shown = (await rest.get("/api/agents/sre-1")).json()
    assert (shown["registered_by"], shown["record"]["compliant_in_row"]) == ("key:a", 2)
    assert (await rest.get("/api/agents/nobody")).status_code == 404
    assert (await rest.post("/api/agents/sre-1/suspend", json={"why": "odd"})).json()[
        "suspend_reason"
    ] == "odd"
    assert (await rest.post("/api/agents/sre-1/suspend")).json()["state"] == "SUSPENDED"
    path, to = "/api/agents/sre-1", {"to_tier": "T2_BUILDER", "why": "good", "request_id": "r-2"}
    assert (await rest.post(f"{path}/resume", headers=AS_ADMIN)).json()["state"] == "ACTIVE"
    assert (await rest.post(f"{path}/promote", json=to, headers=AS_ADMIN)).json()["agent"][
        "tier"
    ] == "T2_BUILDER"
    down = {"to_tier": "T1_OPERATOR"}
    assert (await rest.post(f"{path}/demote", json=down)).json()["tier"] == "T1_OPERATOR"
    assert house.rules.asked[0] == Register("r", "new-1", "T1_OPERATOR", "", "sre-1")
    assert Move("r-2", "sre-1", "good", "T2_BUILDER") in house.rules.asked


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/policy/validate", {}),
        ("/api/policy", {"document": "x"}),
        ("/api/policy", {"document": "x", "replaces": "a b"}),
        ("/api/policy/diff", {}),
        ("/api/policy/diff", {"document": "x", "version": "1"}),
        ("/api/policy/simulate", {"version": "1", "from_time": "2026-03-01T00:00:00"}),
        ("/api/policy/simulate", {"version": "1", "max_flips": 100_001}),
        ("/api/policy/explain", {"agent_id": "sre-1", "action": "a.b", "environment": "moon"}),
        ("/api/budgets", {"scope": "agent", "limits": {"actions": 1}}),
        ("/api/budgets", {"scope": "tenant", "scope_id": "x", "limits": {}}),
        ("/api/budgets", {"scope": "tenant", "limits": {"actions": -1}}),
        ("/api/budgets", {"scope": "tenant", "limits": {"smiles": 1}}),
        ("/api/budgets", {"scope": "tenant", "limits": {"actions": 2**63}}),
        ("/api/budgets", {"scope": "tenant", "limits": {"actions": 1}, "window_seconds": 10**20}),
        ("/api/agents", {"agent_id": "a", "tier": "T9"}),
        ("/api/agents/sre-1/promote", {}),
    ],
)
async def test_what_is_not_as_it_has_to_be_is_refused_before_policy_is_asked(
    path: str, body: Any, rest: httpx2.AsyncClient, house: House
) -> None:
    answer = await rest.post(path, json=body, headers=AS_ADMIN)
    assert (answer.status_code, answer.json()["errors"] != []) == (400, True)
    assert house.rules.asked == []


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/policy", OPERATOR, 403),
        ("/api/policy/rollback", AUDITOR, 403),
        ("/api/policy/simulate", VIEWER, 403),
        ("/api/policy/simulate", AUDITOR, 400),
        ("/api/budgets", OPERATOR, 403),
        ("/api/agents", OPERATOR, 403),
        ("/api/agents/sre-1/resume", OPERATOR, 403),
        ("/api/agents/sre-1/promote", OPERATOR, 403),
        ("/api/agents/sre-1/suspend", VIEWER, 403),
    ],
)
async def test_each_has_its_role(path: str, key: str, status: int, rest: httpx2.AsyncClient) -> None:
    assert (await rest.post(path, json={}, headers={"X-API-Key": key})).status_code == status


def test_what_crosses_is_what_policy_said() -> None:
    totals = pb.SimulatePolicySetResponse.Totals(flips=1, left_out={"erased": 2}, decided=4)
    flip = pb.SimulatePolicySetResponse.Flip(
        decision_id="d", action=pb.Action(name="a.b", target="t", parameters={"k": "v"}), before=pb.VERDICT_ALLOW,
        after=pb.VERDICT_NEEDS_APPROVAL, after_rule="approval.x",
    )  # fmt: skip
    told = wire.simulated_from_wire(pb.SimulatePolicySetResponse(flips=[flip], totals=totals, done=True))
    (crossed,) = told.flips
    assert (crossed.action, crossed.parameters, crossed.after) == ("a.b", {"k": "v"}, "NEEDS_APPROVAL")
    assert (told.totals.left_out, told.totals.decided, told.done) == ({"erased": 2}, 4, True)
    budget = pb.Budget(
        budget_id="set.x", scope=pb.BUDGET_SCOPE_TENANT, lines=[pb.Budget.Line(unit=pb.UNIT_HOSTS, most=2)]
    )
    assert (wire.budget_from_wire(budget).scope, wire.budget_from_wire(budget).lines[0].unit) == (
        "tenant",
        "hosts",
    )
    request = wire.budget_to_wire(SetBudget("r", "run", "x", {"money_micros": 7}, 0, ""))
    assert [(each.unit, each.most) for each in request.limits] == [(pb.UNIT_MONEY_MICROS, 7)]
