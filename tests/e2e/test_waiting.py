"""A run that waits for a person, as state shows it: it waits, it is not stuck, and it works again once answered."""

import time
from collections.abc import Callable
from typing import Any

import httpx2 as httpx

from tests.e2e.test_main_job import until_over, waiting_for


def agent_of(api: httpx.Client, task_id: str) -> dict[str, Any]:
    answer = api.get(f"/api/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    (agent,) = answer.json()["agents"]
    return dict(agent)


def until(fact: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + 15
    while not fact():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def test_who_waits_for_an_approval_is_shown_to_wait_and_is_not_stuck(
    operator: httpx.Client, approver: httpx.Client
) -> None:
    begun = operator.post(
        "/api/runs", json={"agent": "sre-5", "task": "t-waits", "objective": "memory", "mode": "assisted"}
    )
    run_id = begun.json()["run_id"]
    approval_id = waiting_for(operator, run_id)
    until(lambda: "waiting" in agent_of(operator, "t-waits"), "state does not say that the agent waits")
    waiting = agent_of(operator, "t-waits")["waiting"]
    assert (waiting["kind"], waiting["what"]) == ("APPROVAL", approval_id)
    assert operator.get("/api/stuck").json()["items"] == []
    assert operator.get("/api/locks").json()["items"] == [], "its lock was let go"
    approver.post(f"/api/approvals/{approval_id}", json={"approve": True})
    assert until_over(operator, run_id)["state"] == "COMPLETED"
    assert "waiting" not in agent_of(operator, "t-waits")
