"""The table of rights has a row for everything that can be asked for, and nothing else."""

import inspect
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
        "POST /api/tasks/{task_id}/messages/acknowledge": f"{state}/AcknowledgeMessages",
        "GET /api/locks": f"{state}/ListLocks",
        "GET /api/stuck": f"{state}/ListStuckAgents",
        "POST /api/agents/{agent_id}/lock/release": f"{state}/ForceReleaseLock",
    }.items():
        assert REST[rest] == GRPC[rpc], (rest, rpc)


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
