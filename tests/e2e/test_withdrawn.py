"""Power that is taken back, as people at the front see it: nothing waits for them any more, and no run begins."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import until_over, waiting_for


@pytest.fixture
def admin(running: Embedded) -> Iterator[httpx.Client]:
    with client(running, "admin") as given:
        yield given


def begun(api: httpx.Client, agent: str, mode: str = "assisted") -> str:
    body = {"agent": agent, "task": f"t-{agent}-{mode}", "objective": "memory", "mode": mode}
    return str(api.post("/api/runs", json=body).json()["run_id"])


def test_nobody_is_asked_about_a_revoked_agent(operator: httpx.Client, approver: httpx.Client) -> None:
    run_id = begun(operator, "sre-2")
    approval_id = waiting_for(operator, run_id)
    waiting = operator.get("/api/approvals").json()["items"]
    assert approval_id in [each["approval_id"] for each in waiting]
    assert operator.post("/api/agents/sre-2/revoke", json={"reason": "odd"}).status_code == 200
    assert until_over(operator, run_id)["state"] == "REVOKED"
    waiting = operator.get("/api/approvals").json()["items"]
    assert approval_id not in [each["approval_id"] for each in waiting]
    late = approver.post(f"/api/approvals/{approval_id}", json={"approve": True})
    assert late.json()["reason"] == "AGENT_REVOKED", late.text


def test_a_suspended_agent_begins_no_run_and_it_is_said_why(
    operator: httpx.Client, admin: httpx.Client
) -> None:
    assert operator.post("/api/agents/sre-3/suspend", json={"why": "let me look"}).status_code == 200
    ended = until_over(operator, begun(operator, "sre-3", "safe"))
    assert (ended["state"], ended["outcome"]["reason"]) == ("REFUSED", "AGENT_SUSPENDED")
    assert "let me look" in ended["outcome"]["summary"]
    assert admin.post("/api/agents/sre-3/resume", json={"why": "fine"}).status_code == 200
    assert until_over(operator, begun(operator, "sre-3", "auto"))["state"] == "COMPLETED"


def test_nobody_is_registered_at_t4(admin: httpx.Client) -> None:
    refused = admin.post("/api/agents", json={"agent_id": "top", "tier": "T4_ARCHITECT"})
    assert refused.json()["reason"] == "TIER_STEP_TOO_LARGE", refused.text
    assert admin.get("/api/agents/top").status_code == 404
