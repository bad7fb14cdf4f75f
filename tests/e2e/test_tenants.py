"""Every call of every service, and every route, with another tenant's keys: nothing is told, nothing is changed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import httpx2 as httpx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from provost.policy.v1 import policy_pb2
from services.gateway.domain.callers import Role
from services.gateway.domain.rights import GRPC, REST, Right
from services.gateway.rpc.front import OFFERED
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import LOG, process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CANARY = "canary-4711"
TASK, OWN_WORDS = f"task-{CANARY}", f"words of {CANARY}"
STREAM_SECONDS, CALL_SECONDS = 0.5, 10.0
METHODS = [(service, method) for service in OFFERED for method in service.methods]
Known = Mapping[str, str]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    keys = ",".join(f"{role}@acme:{stranger(role)}" for role in Role)
    home = tmp_path_factory.mktemp("tenants") / "home"
    given = Embedded(home, RATE_LIMIT_REQUESTS="0", API_KEYS=keys)
    given.start()
    yield given
    given.stop()
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


def stranger(role: str) -> str:
    return f"acme-{role}-0123456789abcdef"


@pytest.fixture(scope="module")
def known(both: Embedded) -> Known:
    """By the names of fields, what tenant `default` has: real names that a stranger may have heard of."""
    with rest(both, both.key("operator")) as api, rest(both, both.key("admin")) as admin:
        run = process(api, LOG, mode="assisted").json()
        begun = api.post(
            "/api/runs", json={"task": TASK, "agent": "sre-2", "objective": OWN_WORDS, "mode": "safe"}
        )
        assert begun.status_code < 300, begun.text
        made = admin.post("/api/agents", json={"agent_id": "own-agent", "tier": "T1_OPERATOR"})
        assert made.status_code < 300, made.text
        (approval, *_) = api.get("/api/approvals").json()["items"]
        event = api.get("/api/events").json()["items"][0]
    with grpc.insecure_channel(both.run_json()["grpc"]) as channel:
        secret = ask(
            channel,
            both.key("admin"),
            "provost.policy.v1.PolicyService",
            "CreateSecret",
            {"agent_id": "own-agent"},
        )
        assert isinstance(secret, policy_pb2.CreateSecretResponse)
        entry = {
            "task_id": run["task_id"],
            "section": "problem",
            "key": "why",
            "value": json.dumps(OWN_WORDS),
        }
        ask(channel, both.key("operator"), "provost.state.v1.StateService", "PutEntry", entry)
        session = ask(
            channel,
            "",
            "provost.policy.v1.PolicyService",
            "CreateSession",
            {"role_id": secret.role_id, "secret_id": secret.secret_id},
        )
    return {
        "agent_id": run["agent_id"],
        "run_id": run["run_id"],
        "task_id": run["task_id"],
        "approval_id": approval["approval_id"],
        "event_id": event["event_id"],
        "role_id": secret.role_id,
        "secret_id": secret.secret_id,
        "session_token": session.session_token,  # type: ignore[attr-defined]
        "section": "problem",
        "key": "why",
    }


def test_no_method_tells_or_changes_what_another_tenant_has(both: Embedded, known: Known) -> None:
    before = whole(both, known)
    canaries = {CANARY, *known.values()} - {"problem", "why"}
    answered = {}
    with grpc.insecure_channel(both.run_json()["grpc"]) as channel:
        for service, method in METHODS:
            name = f"/{service.full_name}/{method.name}"
            for given in (known, {}):
                request = filled(method.input_type, given)
                code, told = said(channel, name, method, request, GRPC[name])
                answered[name, bool(given)] = code
                assert code not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, (name, told)
                echoed = str(request)
                leaked = {each for each in canaries if each in told and each not in echoed}
                assert not leaked, f"{name} tells another tenant {leaked}: {told}"
    assert whole(both, known) == before
    # Not all of it was refused for a wrong shape: many had nothing to find, and what is for everybody was answered.
    codes = list(answered.values())
    assert codes.count(grpc.StatusCode.NOT_FOUND) > 20, answered
    assert codes.count(grpc.StatusCode.OK) > 20, answered
    shard = {name for name, right in GRPC.items() if right.tenant}
    assert {answered[name, True] for name in shard} == {grpc.StatusCode.PERMISSION_DENIED}


def test_no_route_tells_or_changes_what_another_tenant_has(both: Embedded, known: Known) -> None:
    before = whole(both, known)
    canaries = {CANARY, *known.values()} - {"problem", "why"}
    found = []
    for row, right in REST.items():
        verb, path = row.split(" ")
        for name, value in known.items():
            path = path.replace(f"{{{name}}}", value)
        path = (
            path.replace("{effect_id}", known["run_id"])
            .replace("{level}", "0")
            .replace("{place:path}", "000")
        )
        key = stranger(next((each for each in Role if each in right.roles), Role.VIEWER))
        if path.endswith("/stream"):
            continue  # it has no end; the method it stands for is WatchEvents, asked above
        if path.endswith(("/openapi.json", "/openapi_custom.json")):
            continue  # the same for everybody, and its examples may name the very agent that took the run
        with rest(both, key) as api:
            params = {"task_id": known["task_id"], "agent_id": known["agent_id"], "run_id": known["run_id"]}
            for given in ({}, params):
                answer = api.request(
                    verb,
                    path,
                    params=given,
                    json=BODIES.get(row.split("/")[-1], {}) if verb == "POST" else None,
                )
                assert answer.status_code < 500, (row, answer.text)
                echoed = f"{path} {given}"
                leaked = {each for each in canaries if each in answer.text and each not in echoed}
                assert not leaked, f"{row} tells another tenant {leaked}: {answer.text}"
                found.append(answer.status_code)
                if right.tenant:
                    assert answer.status_code == 403, (row, answer.text)
    assert whole(both, known) == before
    assert found.count(404) > 10, found


BODIES: Mapping[str, dict[str, Any]] = {
    "{approval_id}": {"approve": True},
    "suspend": {"why": "so"},
    "resume": {"why": "so"},
    "promote": {"to_tier": "T2_BUILDER", "why": "so"},
    "demote": {"to_tier": "T0_OBSERVER", "why": "so"},
    "revoke": {"kind": "operator"},
    "release": {"reason": "so"},
    "rollback": {"to_version": "1", "replaces_version": "1"},
}


def whole(both: Embedded, known: Known) -> dict[str, Any]:
    """All that tenant `default` sees of itself, but for what only grows by being looked at."""
    task, agent = known["task_id"], known["agent_id"]
    paths = (
        "agents",
        f"agents/{agent}",
        "approvals",
        "policy",
        "policy/versions",
        "budgets",
        "tasks",
        "runs",
        f"tasks/{task}/board",
        f"tasks/{task}/messages",
        "locks",
        "events?page_size=200",
    )
    with rest(both, both.key("operator")) as api:
        return {path: api.get(f"/api/{path}").json() for path in paths}


def rest(both: Embedded, key: str) -> httpx.Client:
    return httpx.Client(base_url=both.run_json()["http"], headers={"X-API-Key": key}, timeout=60)


def ask(channel: grpc.Channel, key: str, service: str, method: str, fields: Mapping[str, str]) -> Message:
    (found,) = [each for s, each in METHODS if s.full_name == service and each.name == method]
    request = GetMessageClass(found.input_type)(**fields)
    call: Any = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(found.output_type).FromString,
    )
    answer: Message = call(request, metadata=(("x-api-key", key),) if key else (), timeout=CALL_SECONDS)
    return answer


def said(
    channel: grpc.Channel, name: str, method: MethodDescriptor, request: Message, right: Right
) -> tuple[grpc.StatusCode, str]:
    """How a stranger's call ends, and all that was told until then."""
    key = stranger(next((each for each in Role if each in right.roles), Role.VIEWER))
    metadata = (("x-api-key", key),) if right.roles else (("x-tenant", "acme"),)
    make: Any = channel.stream_stream if method.client_streaming else channel.unary_stream
    call = make(
        name,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    seconds = STREAM_SECONDS if method.server_streaming else CALL_SECONDS
    told: list[str] = []
    try:
        answers = call(
            iter([request]) if method.client_streaming else request, metadata=metadata, timeout=seconds
        )
        told.extend(str(answer) for answer in answers)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code, "\n".join([*told, str(error)])
    return grpc.StatusCode.OK, "\n".join(told)


def filled(kind: Descriptor, known: Known, depth: int = 0) -> Message:
    """A request with every field that `known` has a name for, and something plausible in the others."""
    message = GetMessageClass(kind)()
    for field in kind.fields:
        if field.name in {"page_token", "at_least_sequence", "wait_seconds", "cursor"}:
            continue
        if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
            continue
        value: Any
        if field.message_type is not None:
            if (
                depth > 3
                or field.message_type.GetOptions().map_entry
                or "google" in field.message_type.full_name
            ):
                continue
            value = filled(field.message_type, known, depth + 1)
        else:
            value = plain(field, known)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def plain(field: FieldDescriptor, known: Known) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return b"x"
        case FieldDescriptor.CPPTYPE_STRING:
            if field.name.endswith("agent_id"):
                return known.get("agent_id", "")
            if field.name == "tenant":
                return "default"
            return known.get(field.name, "some")
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            return field.enum_type.values[-1].number
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case _:
            return 1
