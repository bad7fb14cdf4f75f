"""The table of rights has a row for everything that can be asked for, and nothing else."""

import pytest

from provost.gateway.v1 import gateway_pb2
from services.gateway.domain.callers import INCLUDES, Role
from services.gateway.domain.rights import GRPC, PUBLIC, REST, Right
from services.gateway.rpc.front import OFFERED
from services.gateway.web.app import ROUTES


def test_every_route_has_its_row() -> None:
    assert {row for row, _, _ in ROUTES} == set(REST)


def test_every_method_has_its_row() -> None:
    services = [*OFFERED, gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]]
    assert {f"/{each.full_name}/{method.name}" for each in services for method in each.methods} == set(GRPC)


def test_actuators_are_not_offered() -> None:
    assert not [method for method in GRPC if "Actuator" in method]


ASKING = {f"POST /api/policy/{what}" for what in ("validate", "diff", "explain")}
"""What is asked with a body, and changes nothing."""


def may(role: Role, right: Right) -> bool:
    return not right.roles or bool(right.roles & INCLUDES[role])


def test_a_viewer_changes_nothing() -> None:
    posts = {row for row, right in REST.items() if row.startswith("POST") and may(Role.VIEWER, right)}
    assert posts == ASKING


@pytest.mark.parametrize("table", [REST, GRPC])
def test_an_admin_may_everything(table: dict[str, Right]) -> None:
    assert all(may(Role.ADMIN, right) for right in table.values())


def test_the_same_thing_needs_the_same_role_on_both_sides() -> None:
    orchestrator, policy = "/provost.orchestrator.v1.OrchestratorService", "/provost.policy.v1.PolicyService"
    ledger, state = "/provost.ledger.v1.LedgerService", "/provost.state.v1.StateService"
    for rest, rpc in {
        "POST /api/process_log": f"{orchestrator}/ProcessLog",
        "POST /api/runs": f"{orchestrator}/StartRun",
        "GET /api/runs/{run_id}": f"{orchestrator}/GetRun",
        "POST /api/approvals/{approval_id}": f"{policy}/AnswerApproval",
        "POST /api/agents/{agent_id}/revoke": f"{policy}/RevokeAgent",
        "GET /api/agents/{agent_id}/receipt": f"{policy}/GetRevocationReceipt",
        "GET /api/events": f"{ledger}/ListEvents",
        "GET /api/events/stream": f"{ledger}/WatchEvents",
        "GET /api/events/{event_id}": f"{ledger}/GetEvent",
        "GET /api/events/{event_id}/causes": f"{ledger}/TraceCauses",
        "GET /api/effects/{effect_id}/causes": f"{ledger}/TraceCauses",
        "GET /api/runs/{run_id}/replay": f"{ledger}/ReplayRun",
        "GET /api/violations": f"{ledger}/ListViolations",
        "GET /api/promotions": f"{ledger}/ListPromotions",
        "GET /api/approval_records": f"{ledger}/ListApprovalRecords",
        "POST /api/ledger/verify": f"{ledger}/VerifyLedger",
        "GET /api/tasks": f"{state}/ListTasks",
        "GET /api/tasks/{task_id}": f"{state}/GetTask",
        "GET /api/tasks/{task_id}/board": f"{state}/ListEntries",
        "GET /api/tasks/{task_id}/messages": f"{state}/ListMessages",
        "GET /api/locks": f"{state}/ListLocks",
        "GET /api/stuck": f"{state}/ListStuckAgents",
        "POST /api/agents/{agent_id}/lock/release": f"{state}/ForceReleaseLock",
    }.items():
        assert REST[rest] == GRPC[rpc], (rest, rpc)


def test_what_needs_no_key_is_harmless() -> None:
    open_to_all = {row for row, right in REST.items() if right == PUBLIC}
    assert all(row.startswith("GET ") for row in open_to_all)
    assert not [row for row in open_to_all if any(word in row for word in ("runs", "events", "agents"))]
