"""Plain data: the same names over gRPC as over REST."""

import json

from pydantic import TypeAdapter

from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost_sdk.models import as_dict, run_as_dict
from services.gateway.domain.runs import Run
from services.gateway.wire.runs import run_from_wire
from tests.unit.gateway.test_wire import full_run


def test_a_run_is_named_as_rest_names_it() -> None:
    message = full_run()
    rest = json.loads(TypeAdapter(Run).dump_json(run_from_wire(message), exclude_none=True))
    rest.pop("ignored_fields")  # of the request, not of the run
    assert run_as_dict(message) == rest


def test_a_run_that_has_only_begun_has_no_trace_and_no_incident() -> None:
    made = run_as_dict(orchestrator_pb2.Run(run_id="r"))
    assert "incident" not in made
    assert "trace" not in made
    assert made["plan"] == []


def test_permits_are_not_shown() -> None:
    assert "PERMIT" not in json.dumps(run_as_dict(full_run()))


def test_names_numbers_bytes_and_times_are_what_people_write() -> None:
    agent = policy_pb2.Agent(agent_id="sre-1", tier=policy_pb2.TIER_T1_OPERATOR)
    agent.register_time.FromJsonString("2026-01-02T03:04:05Z")
    made = as_dict(agent)
    assert (made["tier"], made["state"], made["register_time"]) == ("T1_OPERATOR", "", "2026-01-02T03:04:05Z")
    assert "revoke_time" not in made
    assert as_dict(policy_pb2.SigningKey(key_id="k", public_key=b"\x01\xff"))["public_key"] == "01ff"
    assert as_dict(policy_pb2.RunContext(fencing_token=2**60))["fencing_token"] == 2**60
