"""The table of rights has a row for everything that can be asked for, and nothing else."""

import inspect
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from chassis.rpc.cause import metadata_of
from kernel.events import Cause
from kernel.faults import Denied, Invalid
from provost.gateway.v1 import gateway_pb2
from services.gateway.domain.callers import INCLUDES, Role
from services.gateway.domain.rights import BEARER, GRPC, PUBLIC, REST, Right
from services.gateway.rpc.front import OFFERED
from services.gateway.web.app import ROUTES
from services.ledger.rpc import LedgerServicer
from services.policy.rpc import PolicyServicer
from services.state.rpc import StateServicer


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
    return not right.within and (not right.roles or bool(right.roles & INCLUDES[role]))


def test_a_viewer_changes_nothing() -> None:
    posts = {row for row, right in REST.items() if row.startswith("POST") and may(Role.VIEWER, right)}
    assert posts == ASKING


@pytest.mark.parametrize("table", [REST, GRPC])
def test_an_admin_may_everything(table: dict[str, Right]) -> None:
    assert all(may(Role.ADMIN, right) for right in table.values() if not right.within)


TWINS = {
    "OrchestratorService": {
        "POST /api/process_log": "ProcessLog",
        "POST /process_log": "ProcessLog",
        "POST /api/runs": "StartRun",
        "GET /api/runs": "ListRuns",
        "GET /api/runs/{run_id}": "GetRun",
    },
    "PolicyService": {
        "GET /api/approvals": "ListApprovals",
        "POST /api/approvals/{approval_id}": "AnswerApproval",
        "GET /api/agents": "ListAgents",
        "POST /api/agents": "RegisterAgent",
        "GET /api/agents/{agent_id}": "GetAgent",
        "POST /api/agents/{agent_id}/suspend": "SuspendAgent",
        "POST /api/agents/{agent_id}/resume": "ResumeAgent",
        "POST /api/agents/{agent_id}/promote": "PromoteAgent",
        "POST /api/agents/{agent_id}/demote": "DemoteAgent",
        "POST /api/agents/{agent_id}/revoke": "RevokeAgent",
        "GET /api/agents/{agent_id}/receipt": "GetRevocationReceipt",
        "GET /api/policy": "GetPolicySet",
        "POST /api/policy": "PublishPolicySet",
        "GET /api/policy/versions": "ListPolicySets",
        "POST /api/policy/validate": "ValidatePolicySet",
        "POST /api/policy/diff": "DiffPolicySets",
        "POST /api/policy/rollback": "RollbackPolicySet",
        "POST /api/policy/explain": "Explain",
        "POST /api/policy/simulate": "SimulatePolicySet",
        "GET /api/budgets": "ListBudgets",
        "POST /api/budgets": "SetBudget",
    },
    "LedgerService": {
        "GET /api/events": "ListEvents",
        "GET /api/events/stream": "WatchEvents",
        "GET /api/events/ws": "WatchEvents",
        "GET /api/events/{event_id}": "GetEvent",
        "GET /api/events/{event_id}/causes": "TraceCauses",
        "GET /api/effects/{effect_id}/causes": "TraceCauses",
        "GET /api/runs/{run_id}/replay": "ReplayRun",
        "GET /api/violations": "ListViolations",
        "GET /api/promotions": "ListPromotions",
        "GET /api/approval_records": "ListApprovalRecords",
        "GET /api/agent_actions": "ListAgentActions",
        "GET /api/agent_metrics": "ListAgentMetrics",
        "POST /api/erasures": "EraseSubject",
        "GET /api/erasures": "ListErasures",
        "GET /api/ledger/head": "GetTreeHead",
        "POST /api/ledger/verify": "VerifyLedger",
    },
    "StateService": {
        "GET /api/tasks": "ListTasks",
        "GET /api/tasks/{task_id}": "GetTask",
        "GET /api/tasks/{task_id}/board": "ListEntries",
        "GET /api/tasks/{task_id}/messages": "ListMessages",
        "POST /api/tasks/{task_id}/messages/acknowledge": "AcknowledgeMessages",
        "GET /api/locks": "ListLocks",
        "GET /api/stuck": "ListStuckAgents",
        "POST /api/agents/{agent_id}/lock/release": "ForceReleaseLock",
    },
}
"""Which method asks for the same as a route, by the service that has it."""
OPENABLE = {row for row, right in REST.items() if right.openable}
"""The log as tiles: over gRPC it is never open to everyone, and asks for no more."""


def test_the_same_thing_needs_the_same_role_on_both_sides() -> None:
    offered = {service.name: service.full_name for service in OFFERED}
    for name, twins in TWINS.items():
        for route, method in twins.items():
            assert REST[route] == GRPC[f"/{offered[name]}/{method}"], (route, method)
    tiles = GRPC[f"/{offered['LedgerService']}/GetTile"]
    assert {replace(REST[row], openable=False) for row in OPENABLE} == {tiles}


def test_every_route_that_needs_a_key_has_its_twin() -> None:
    with_twin = {route for twins in TWINS.values() for route in twins}
    assert with_twin | OPENABLE == {row for row, right in REST.items() if right != PUBLIC}


def test_what_needs_no_key_is_harmless() -> None:
    open_to_all = {row for row, right in REST.items() if right == PUBLIC}
    assert all(row.startswith("GET ") for row in open_to_all)
    assert not [row for row in open_to_all if any(word in row for word in ("runs", "events", "agents"))]


ANSWERING: dict[str, Any] = {
    "PolicyService": PolicyServicer,
    "StateService": StateServicer,
    "LedgerService": LedgerServicer,
}
"""Those who look at roles themselves; the orchestrator takes whomever the gateway lets through."""
LOOKED_AT = [
    pytest.param(method, id=method.name)
    for service in OFFERED
    for method in service.methods
    if service.name in ANSWERING and GRPC[f"/{service.full_name}/{method.name}"] != BEARER
]


async def lets_through(method: MethodDescriptor, roles: frozenset[str]) -> bool:
    """Whether who answers for `method` lets `roles` through: it looks at them first, and has nothing else here."""
    kind = ANSWERING[method.containing_service.name]
    answering: Any = getattr(kind.__new__(kind), method.name)
    cause = Cause("default", "r", "key:someone", datetime.now(UTC))
    context = SimpleNamespace(invocation_metadata=lambda: metadata_of(cause, sorted(roles)))
    message: Any = GetMessageClass(method.input_type)()

    async def messages() -> Any:
        yield message

    answer = answering(messages() if method.client_streaming else message, context)
    try:
        await (anext(answer) if inspect.isasyncgen(answer) else answer)
    except Denied as fault:
        return fault.reason != "ROLE_MISSING"
    except (AttributeError, Invalid):
        return True  # into a service that is empty, or reads the message
    return True


@pytest.mark.parametrize("method", LOOKED_AT)
async def test_whom_the_gateway_lets_through_the_service_takes(method: MethodDescriptor) -> None:
    """Or somebody is told that a role is missing which no key has."""
    right = GRPC[f"/{method.containing_service.full_name}/{method.name}"]
    assert not await lets_through(method, frozenset()), "looks at something else first"
    taken = {role for role in Role if await lets_through(method, frozenset(INCLUDES[role]))}
    admitted = {role for role in Role if may(role, right)}
    assert admitted <= taken, f"{admitted - taken} get through the gateway, and no further"
    assert right.within == (not taken), "no key's role is enough" if not taken else f"{taken} might be let in"
