"""State over REST: questions arrive as they were asked, answers bear everything, only operators take locks away."""

import json
from dataclasses import asdict

import httpx2
import pytest

from provost.state.v1 import state_pb2 as pb
from services.gateway.domain.records import Page
from services.gateway.domain.sharing import Acknowledge, MessageFilter
from services.gateway.wire.sharing import agent_from_wire, entry_from_wire, task_now_from_wire
from tests.fakes.doors import VIEWER, House


async def test_a_task_is_seen_as_it_is(rest: httpx2.AsyncClient) -> None:
    task = (await rest.get("/api/tasks/task-1")).json()
    (agent,) = task["agents"]
    assert (agent["phase"], agent["stuck"]["kind"], agent["errors"]["max_total"]) == (
        "EXECUTE",
        "REPETITION",
        10,
    )
    assert (task["locks"][0]["waiting"], task["board"][0]["value"]) == (["run-2"], {"disk": 1})
    assert (task["unread_messages"][0]["recipients"], task["task"]["active_agent_id"]) == (["sre-2"], "sre-1")
    unknown = await rest.get("/api/tasks/none")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "TASK_UNKNOWN")


async def test_lists_are_asked_as_they_were_asked(rest: httpx2.AsyncClient, house: House) -> None:
    assert (await rest.get("/api/tasks?page_size=3")).json()["next_page_token"] == "more"
    for path in (
        "/api/tasks/task-1/board?section=problem&page_token=x",
        "/api/tasks/task-1/messages?agent_id=sre-2&acknowledged_too=true",
        "/api/locks?task_id=task-1",
        "/api/stuck",
    ):
        assert (await rest.get(path)).json()["items"], path
    assert house.state.asked == [
        Page(3, ""),
        ("task-1", "problem", Page(0, "x")),
        (MessageFilter("task-1", "sre-2", True), Page()),
        ("task-1", Page()),
        ("", Page()),
    ]


@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks/task-1"])
async def test_an_answer_says_that_it_may_be_old_and_nothing_when_it_is_not(
    path: str, rest: httpx2.AsyncClient, house: House
) -> None:
    assert "stale_seconds" not in (await rest.get(path)).json()
    house.state.stale_seconds = 14
    assert (await rest.get(path)).json()["stale_seconds"] == 14


@pytest.mark.parametrize(
    "path", ["/api/tasks/task-1/board?section=elsewhere", "/api/locks?agent=x", "/api/tasks/a%20b"]
)
async def test_what_is_misspelt_is_refused(path: str, rest: httpx2.AsyncClient, house: House) -> None:
    assert (await rest.get(path)).status_code == 400
    assert house.state.asked == []


async def test_a_lock_is_taken_away_by_an_operator_who_says_why(
    rest: httpx2.AsyncClient, house: House
) -> None:
    path, why = "/api/agents/sre-1/lock/release", {"reason": "it hangs", "request_id": "r-1"}
    assert (await rest.post(path, json=why)).json() == {"agent_id": "sre-1", "sequence": 18}
    ((request_id, agent_id, reason, actor),) = house.state.asked
    assert (request_id, agent_id, reason, actor.startswith("key:")) == ("r-1", "sre-1", "it hangs", True)
    assert (await rest.post(path, json=why, headers={"X-API-Key": VIEWER})).status_code == 403
    for bad in ({}, {"reason": ""}, {"reason": "x" * 1001}):
        assert (await rest.post(path, json=bad)).status_code == 400
    assert len(house.state.asked) == 1


async def test_an_operator_takes_messages_for_read_in_an_agents_name(
    rest: httpx2.AsyncClient, house: House
) -> None:
    path = "/api/tasks/task-1/messages/acknowledge"
    read = {"agent_id": "sre-2", "up_to_sequence": 6, "message_ids": ["m-9"], "request_id": "r-1"}
    answer = (await rest.post(path, json=read)).json()
    assert answer == {"task_id": "task-1", "agent_id": "sre-2", "sequence": 19}
    ((request_id, wanted, actor),) = house.state.asked
    assert (request_id, wanted) == ("r-1", Acknowledge("task-1", "sre-2", 6, ("m-9",)))
    assert actor.startswith("key:")
    assert (await rest.post(path, json=read, headers={"X-API-Key": VIEWER})).status_code == 403
    for bad in ({}, {"agent_id": "a b"}, {"agent_id": "sre-2", "up_to_sequence": -1}):
        assert (await rest.post(path, json=bad)).status_code == 400
    assert len(house.state.asked) == 1


def test_a_handoff_crosses_whole() -> None:
    left = pb.Handoff(
        task_id="t",
        previous_agent_id="sre-1",
        revoked=True,
        revocation_reason=pb.RevocationReason(type="ERROR_BUDGET_EXCEEDED", details="the same error twice"),
        last_known_state=pb.LastKnownState(phase="EXECUTE", step="disk.cleanup"),
        what_was_tried=["disk.usage"],
        blocking_issue="no permission",
        required_next_actions=["ask for tier T2"],
        constraints_reminder=["never touch /etc"],
        artifacts=["b" * 64],
        labels=["personal"],
    )
    told = task_now_from_wire(pb.GetTaskResponse(task=pb.TaskSummary(task_id="t"), handoff=left)).handoff
    assert told is not None
    assert asdict(told) == {
        "previous_agent_id": "sre-1",
        "revoked": True,
        "reason": "ERROR_BUDGET_EXCEEDED",
        "details": "the same error twice",
        "phase": "EXECUTE",
        "step": "disk.cleanup",
        "what_was_tried": ("disk.usage",),
        "blocking_issue": "no permission",
        "required_next_actions": ("ask for tier T2",),
        "constraints_reminder": ("never touch /etc",),
        "artifacts": ("b" * 64,),
        "labels": ("personal",),
    }


def test_what_crosses_is_what_state_said() -> None:
    agent = pb.AgentSnapshot(
        agent_id="a",
        packet=pb.Packet(task_id="t", objective="o", error_budget=pb.ErrorBudget(max_total_errors=9)),
        errors=pb.ErrorCounts(total=2),
        waiting=pb.Waiting(kind=pb.Waiting.KIND_GATE, what="tests"),
        labels=["pii"],
        waiting_runs=[
            pb.WaitingRun(
                run_id="r",
                task_id="u",
                waiting=pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="disk.cleanup"),
            )
        ],
    )
    now = agent_from_wire(agent)
    assert now.waiting is not None
    (run,) = now.waiting_runs
    assert (run.run_id, run.task_id, run.waiting.kind, run.waiting.what) == (
        "r",
        "u",
        "APPROVAL",
        "disk.cleanup",
    )
    assert (now.waiting.kind, now.waiting.what, now.stuck, now.lock) == ("GATE", "tests", None, None)
    assert (now.errors.total, now.errors.max_total, now.labels, now.objective) == (2, 9, ("pii",), "o")
    task = task_now_from_wire(
        pb.GetTaskResponse(
            task=pb.TaskSummary(task_id="t"),
            agents=[agent],
            handoff=pb.Handoff(
                previous_agent_id="b",
                revocation_reason=pb.RevocationReason(type="operator"),
                required_next_actions=["look"],
            ),
            incomplete=True,
        )
    )
    assert task.handoff is not None
    assert (task.handoff.reason, task.handoff.required_next_actions) == ("operator", ("look",))
    assert (task.incomplete, task.agents) == (True, (now,))


@pytest.mark.parametrize(("value", "shown"), [(json.dumps({"a": [1]}), {"a": [1]}), ("no json", "no json")])
def test_a_value_is_shown_as_json(value: str, shown: object) -> None:
    assert entry_from_wire(pb.Entry(value=value)).value == shown
