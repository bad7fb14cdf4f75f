"""Lists on the command line: what is left out is said, and what is urgent is not what is left out."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

import pytest

from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from provost_sdk import errors
from tests.unit.sdk.conftest import invoke

AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


class Paged:
    """Rows by method, page by page as a server gives them: its tokens are where a page begins."""

    rows: ClassVar[dict[str, tuple[str, Any, list[Any]]]] = {}

    def __init__(self, *_: object, **__: object) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        field, answer, rows = self.rows.get(name, ("", None, []))

        async def unknown(asked: str) -> None:
            raise errors.NotFound("TASK_UNKNOWN", f"nothing is known of {asked}")

        if answer is None:
            return unknown

        async def page(*_of: str, page_size: int, page_token: str = "", **_: object) -> Any:
            begin, size = int(page_token or 0), min(page_size, 100)
            after = str(begin + size) if len(rows) > begin + size else ""
            return answer(**{field: rows[begin : begin + size], "next_page_token": after})

        return page


@pytest.fixture
def paged(monkeypatch: pytest.MonkeyPatch) -> type[Paged]:
    monkeypatch.setenv("COLUMNS", "300")
    fresh = type("FreshPaged", (Paged,), {"rows": {}})
    monkeypatch.setattr("provost_sdk.client.Provost", fresh)
    return fresh


def approval(n: int) -> policy_pb2.Approval:
    made = policy_pb2.Approval(approval_id=f"a-{n:03}")
    made.expire_time.FromDatetime(AT + timedelta(minutes=n))
    return made


def test_approvals_that_expire_first_come_first_however_many_there_are(paged: type[Paged]) -> None:
    newest_first = [approval(n) for n in reversed(range(250))]
    paged.rows = {"list_approvals": ("approvals", policy_pb2.ListApprovalsResponse, newest_first)}
    found = invoke("approvals", "list")
    assert "… and 150 more: --limit" in found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines() if "a-" in line] == [
        f"a-{n:03}" for n in range(100)
    ]
    assert "2026-03-02 00:39:00 UTC" in found.stdout, "after midnight is another day"
    found = invoke("approvals", "list", "--json", "--limit", 1)
    assert [each["approval_id"] for each in json.loads(found.stdout)] == ["a-000"]
    assert "249 more" in found.stderr
    assert invoke("approvals", "list", "--limit", 250).stderr == ""


@pytest.mark.parametrize(
    ("command", "method", "field", "answer", "row"),
    [
        (("agents", "list"), "list_agents", "agents", policy_pb2.ListAgentsResponse, policy_pb2.Agent()),
        (("runs", "list"), "list_runs", "runs", orchestrator_pb2.ListRunsResponse, orchestrator_pb2.Run()),
        (("ledger", "erasures"), "list_erasures", "erasures", ledger_pb2.ListErasuresResponse, ledger_pb2.Erasure()),
        (("ledger", "actions"), "list_agent_actions", "actions", ledger_pb2.ListAgentActionsResponse, None),
        (("budgets", "list"), "list_budgets", "budgets", policy_pb2.ListBudgetsResponse, policy_pb2.Budget()),
    ],
)  # fmt: skip
def test_a_list_says_when_there_is_more_than_it_shows(
    paged: type[Paged], command: tuple[str, ...], method: str, field: str, answer: Any, row: Any
) -> None:
    paged.rows = {method: (field, answer, [row or ledger_pb2.AgentAction()] * 150)}
    for options in ((), ("--json",)):
        found = invoke(*command, "--limit", 110, *options)
        assert found.exit_code == 0, found.output
        assert found.stderr == "… and more: --limit shows them\n"
        found = invoke(*command, "--limit", 150, *options)
        assert found.stderr == ""
    assert len(json.loads(found.stdout)) == 150


@pytest.mark.parametrize(
    ("what", "method", "field", "answer", "whole", "found"),
    [
        ("board", "list_entries", "entries", state_pb2.ListEntriesResponse, "get_task", state_pb2.GetTaskResponse),
        ("messages", "list_messages", "messages", state_pb2.ListMessagesResponse, "get_task",
         state_pb2.GetTaskResponse),
        ("packets", "list_packets", "packets", state_pb2.ListPacketsResponse, "get_agent_state",
         state_pb2.AgentSnapshot),
        ("checkpoints", "list_checkpoints", "checkpoints", state_pb2.ListCheckpointsResponse, "get_run",
         orchestrator_pb2.Run),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_not_taken_for_empty(
    paged: type[Paged], what: str, method: str, field: str, answer: Any, whole: str, found: Any
) -> None:
    paged.rows = {method: (field, answer, [])}
    result = invoke("state", what, "nope")
    assert (result.exit_code, "nothing is known of nope" in result.stderr) == (1, True)

    async def known(self: Paged, _: str) -> Any:
        return found()

    setattr(paged, whole, known)
    result = invoke("state", what, "task-1")
    assert (result.exit_code, result.stderr) == (0, "")
