"""Budgets in a whole Provost: actions are set aside, settled by what came of them, and stopped when it is spent."""

import time
from typing import Any

import httpx2 as httpx

from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import kinds_of, until_over

AGENT = "sre-3"


def start(api: httpx.Client, task: str) -> dict[str, Any]:
    body = {"agent": AGENT, "task": task, "objective": "memory and disk", "mode": "auto"}
    begun = api.post("/api/runs", json=body)
    assert begun.status_code in (200, 202), begun.text
    return until_over(api, begun.json()["run_id"])


def line(api: httpx.Client) -> dict[str, int]:
    """The agent's one limit, once nothing is set aside any more."""
    end = time.monotonic() + 15
    while True:
        (budget,) = api.get("/api/budgets", params={"agent_id": AGENT}).json()["items"]
        (found,) = budget["lines"]
        if not found["reserved"]:
            return dict(found)
        assert time.monotonic() < end, budget
        time.sleep(0.05)


def test_a_budget_is_drawn_on_settled_and_in_the_end_stops_an_agent(
    operator: httpx.Client, running: Embedded
) -> None:
    with client(running, "admin") as admin:
        limits = {"scope": "agent", "scope_id": AGENT, "limits": {"actions": 3}, "why": "to see"}
        answer = admin.post("/api/budgets", json=limits)
        assert answer.status_code in (200, 201), answer.text
    first = start(operator, "t-budget-1")
    assert first["state"] == "COMPLETED"
    done = len(first["outcome"]["effects"])
    assert 1 <= done < 3, "the objective is worth another number of actions now: choose another limit"
    assert line(operator)["spent"] == done
    kinds = kinds_of(operator, first["run_id"])
    assert kinds.index("EffectsObserved") < kinds.index("ReservationsClosed") < kinds.index("RunEnded")
    second = start(operator, "t-budget-2")
    assert second["state"] == "COMPLETED", "a spent budget is no violation"
    assert "BUDGET_SPENT" in str(second["outcome"])
    stopped = [each for each in second["decisions"] if each["reason"] == "BUDGET_SPENT"]
    assert len(stopped) == 2 * done - 3
    assert "allows 3 ACTIONS" in stopped[0]["explanation"]
    assert line(operator)["spent"] == 3
    rows = operator.get("/api/agent_actions", params={"agent_id": AGENT, "page_size": 50}).json()["items"]
    verdicts = [row["decision"] for row in rows if row["agent_id"] == AGENT]
    assert verdicts.count("ALLOW") == 3
    assert verdicts.count("DENY") == len(stopped)
