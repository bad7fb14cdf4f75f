"""Two of three people, through every front: an assisted run waits for them, and what it came to moves its agent."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from provost_sdk.client import Provost
from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import until_over, waiting_for

PEOPLE = ("ann", "bob", "cec")
RULES = """
approvals:
  - {id: everywhere, needs: 2}
promotions:
  - {id: proved, tier: T1_OPERATOR, compliant_in_row: 1, needs_approval: false}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    keys = ",".join(f"approver:the-key-of-{name}-is-long" for name in PEOPLE)
    given = Embedded(tmp_path_factory.mktemp("provost") / "home", RATE_LIMIT_REQUESTS="0", API_KEYS=keys)
    given.start()
    try:
        asyncio.run(in_force(given))
        yield given
        given.stop()
    finally:
        given.kill()
        given.until(lambda: not given.processes(), "all processes are gone")


async def in_force(running: Embedded) -> None:
    async with Provost(running.run_json()["grpc"], running.key("admin")) as provost:
        shown = await provost.get_policy_set()
        rules = shown.document.partition("\n# Whatever the mode")[0]
        rules = rules.replace(f'version: "{shown.version}"', 'version: "two-of-three"') + RULES
        await provost.publish_policy_set(rules, replaces=shown.version)


@pytest.fixture
def people(running: Embedded) -> Iterator[list[httpx.Client]]:
    address = running.run_json()["http"]
    headers = [{"X-API-Key": f"the-key-of-{name}-is-long"} for name in PEOPLE]
    clients = [httpx.Client(base_url=address, headers=each, timeout=60) for each in headers]
    yield clients
    for each in clients:
        each.close()


def begun(api: httpx.Client, agent: str) -> tuple[str, str]:
    """An assisted run, and the approval that it waits for."""
    body = {"agent": agent, "task": f"t-{agent}", "objective": "memory", "mode": "assisted"}
    run_id = str(api.post("/api/runs", json=body).json()["run_id"])
    return run_id, waiting_for(api, run_id)


def rows(
    running: Embedded, api: httpx.Client, path: str, at_least: int = 1, **wanted: str
) -> list[dict[str, Any]]:
    """What the ledger has, once there is as much."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = api.get(path, params=wanted).json()["items"]
        return len(found) >= at_least

    running.until(there, f"{at_least} at {path} for {wanted}")
    return found


def test_two_of_three_say_yes_and_the_outcome_moves_the_agent(
    running: Embedded, operator: httpx.Client, people: list[httpx.Client]
) -> None:
    run_id, approval_id = begun(operator, "sre-2")
    ann, bob, cec = people
    path = f"/api/approvals/{approval_id}"
    for _ in range(2):
        first = ann.post(path, json={"vote": "approve", "comment": "fine"}).json()
        assert (first["state"], len(first["votes"]), first["needed"]) == ("PENDING", 1, 2)
    (listed,) = [each for each in cec.get("/api/approvals").json()["items"] if each["run_id"] == run_id]
    assert (listed["rule"], [each["comment"] for each in listed["votes"]]) == (
        "approval.everywhere",
        ["fine"],
    )
    second = bob.post(path, json={"approve": True}).json()
    assert (second["state"], len({each["by"] for each in second["votes"]})) == ("APPROVED", 2)
    run = until_over(operator, run_id)
    assert [effect["state"] for effect in run["outcome"]["effects"]] == ["SUCCEEDED"]
    assert cec.post(path, json={"vote": "reject"}).status_code == 409
    moved = rows(running, operator, "/api/promotions", 2, agent_id="sre-2")
    assert (moved[0]["from_tier"], moved[0]["to_tier"]) == ("T1_OPERATOR", "T2_BUILDER")
    assert moved[0]["reason"].startswith("promotion.proved (policy two-of-three): 1 verified")


def test_changes_that_are_asked_for_are_told_to_who_started_the_run(
    running: Embedded, operator: httpx.Client, people: list[httpx.Client]
) -> None:
    run_id, approval_id = begun(operator, "sre-3")
    wordless = people[0].post(f"/api/approvals/{approval_id}", json={"vote": "request_changes"})
    assert (wordless.status_code, wordless.json()["errors"][0]["field"]) == (400, "comment")
    wish = {"vote": "request_changes", "comment": "look at the disk first"}
    assert people[0].post(f"/api/approvals/{approval_id}", json=wish).json()["state"] == "CHANGES_REQUESTED"
    run = until_over(operator, run_id)
    assert (run["state"], run["outcome"]["effects"]) == ("COMPLETED", [])
    assert "sent back for changes" in run["outcome"]["summary"]
    assert "look at the disk first" in run["outcome"]["summary"]
    (kept,) = rows(running, operator, "/api/approval_records", run_id=run_id, state="CHANGES_REQUESTED")
    assert kept["comment"] == "look at the disk first"


def test_fault_25_who_started_a_run_cannot_approve_it_and_the_try_is_in_the_ledger(
    running: Embedded, people: list[httpx.Client]
) -> None:
    with client(running, "admin") as admin:
        run_id, approval_id = begun(admin, "sre-4")
        own = admin.post(f"/api/approvals/{approval_id}", json={"vote": "approve"})
        assert (own.status_code, own.json()["reason"]) == (403, "SELF_APPROVAL")
        (kept,) = rows(running, admin, "/api/agent_actions", run_id=run_id, action="approval.answer")
        assert (kept["decision"], kept["reason"], kept["rule"]) == ("DENY", "SELF_APPROVAL", "approval.voter")
        people[2].post(f"/api/approvals/{approval_id}", json={"vote": "reject"})
        assert until_over(admin, run_id)["outcome"]["effects"] == []
