"""The header `Idempotency-Key`: every route that changes something takes it for the id of the request."""

from typing import Any

import httpx2
import pytest

from tests.fakes.doors import ADMIN, House

CHANGES: dict[str, dict[str, Any]] = {
    "/api/process_log": {"log": "x"},
    "/process_log": {"log": "x"},
    "/api/runs": {"agent": "sre-1", "task": "t", "objective": "o"},
    "/api/approvals/{approval_id}": {"vote": "approve"},
    "/api/agents": {"agent_id": "new-1"},
    "/api/agents/{agent_id}/suspend": {},
    "/api/agents/{agent_id}/resume": {},
    "/api/agents/{agent_id}/promote": {"to_tier": "T2_BUILDER"},
    "/api/agents/{agent_id}/demote": {"to_tier": "T0_OBSERVER"},
    "/api/agents/{agent_id}/revoke": {},
    "/api/agents/{agent_id}/lock/release": {"reason": "it hangs"},
    "/api/policy": {"document": "x", "replaces": "1"},
    "/api/policy/rollback": {"version": "1", "replaces": "1"},
    "/api/budgets": {"scope": "tenant", "limits": {"actions": 1}},
    "/api/tasks/{task_id}/messages/acknowledge": {"agent_id": "sre-2", "up_to_sequence": 3},
    "/api/erasures": {"subject": "alice", "reason": "asked for it"},
}
CHANGES_NOTHING = {
    "/api/policy/validate", "/api/policy/diff", "/api/policy/explain", "/api/policy/simulate",
    "/api/ledger/verify",
}  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("where", ["header", "body"])
async def test_sent_again_it_is_the_same_request(
    path: str, where: str, rest: httpx2.AsyncClient, house: House
) -> None:
    house.policy.wants("approval-1", "key:somebody")
    filled = path.format(agent_id="sre-1", approval_id="approval-1", task_id="task-1")
    headers, body = {"X-API-Key": ADMIN}, CHANGES[path]
    if where == "header":
        headers["Idempotency-Key"] = '"once-1"'
    else:
        body = body | {"request_id": "once-1"}
    answer = await rest.post(filled, json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    assert heard(house) == ["once-1"]


@pytest.mark.parametrize("path", CHANGES)
async def test_header_and_body_may_not_differ(path: str, rest: httpx2.AsyncClient, house: House) -> None:
    filled = path.format(agent_id="sre-1", approval_id="approval-1", task_id="task-1")
    headers = {"X-API-Key": ADMIN, "Idempotency-Key": "once-1"}
    answer = await rest.post(filled, json=CHANGES[path] | {"request_id": "once-2"}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "request_id")
    assert heard(house) == []


async def test_every_route_that_changes_something_says_so(rest: httpx2.AsyncClient) -> None:
    paths = (await rest.get("/openapi.json")).json()["paths"]
    posts = {path: methods["post"] for path, methods in paths.items() if "post" in methods}
    takes_it = {
        path
        for path, operation in posts.items()
        if any(each["name"] == "idempotency-key" for each in operation.get("parameters", ()))
    }
    assert takes_it == set(CHANGES) == set(posts) - CHANGES_NOTHING


def heard(house: House) -> list[str]:
    """The request ids that the doors were asked under."""
    asked = [*house.orchestrator.asked, *house.policy.asked, *house.rules.asked]
    state = [each[0] for each in house.state.asked]
    return [each.request_id for each in asked] + state + list(house.ledger.erased)
