"""What a caller gives that cannot be sent: it is said which setting it is, as an error of the client's own."""

import threading
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from provost.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from provost.policy.v1 import policy_pb2
from provost_sdk import Provost, ProvostError
from provost_sdk.errors import InvalidRequest, NotAuthenticated
from provost_sdk.sync import Client
from provost_sdk.testing import Double
from provost_sdk.words import named


@pytest.mark.parametrize("key", ["s3cret\nX: 1", "s3crét", "s3cret\x00", "s3\x7fcret", "s3\ud800cret"])
async def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(NotAuthenticated, match="API key") as refused:
        Provost("127.0.0.1:1", key)
    assert refused.value.reason == "KEY_UNKNOWN"
    assert "s3" not in str(refused.value)


async def test_what_surrounds_a_key_in_a_file_is_not_part_of_it() -> None:
    async with Double() as double, Provost(double.address, f" {double.key('operator')}\r\n") as provost:
        assert (await provost.list_runs()).runs == []


class Listening(gateway_pb2_grpc.GatewayServiceServicer):
    """Notes what a caller shows of itself."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}

    async def GetStatus(self, request: Any, context: Any) -> gateway_pb2.GetStatusResponse:  # noqa: N802
        self.shown = dict(context.invocation_metadata())
        return gateway_pb2.GetStatusResponse()


async def test_an_agent_without_a_key_says_whose_credentials_it_has() -> None:
    server, listening = grpc.aio.server(), Listening()
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(listening, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with Provost(address, tenant="elsewhere") as provost:
            await provost.status()
        assert (listening.shown.get("x-tenant"), listening.shown.get("x-api-key")) == ("elsewhere", None)
        async with Provost(address, "key") as provost:
            await provost.status()
        assert (listening.shown.get("x-tenant"), listening.shown.get("x-api-key")) == (None, "key")
    finally:
        await server.stop(None)
    with Client("127.0.0.1:1", tenant="elsewhere"), pytest.raises(InvalidRequest, match="tenant must be"):
        Provost("127.0.0.1:1", tenant="else\nwhere")


def test_a_client_that_cannot_be_made_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(NotAuthenticated):
        Client("127.0.0.1:1", "é")
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"no certificate", "no certificate")]
)
async def test_a_file_without_certificates_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=rf"ca_file: .*{said}") as refused:
        Provost("127.0.0.1:1", "key", ca_file=file)
    assert refused.value.facts == {"field": "ca_file"}


@pytest.mark.parametrize(
    ("call", "given", "may"),
    [
        ("process_log", {"log": "x", "mode": "dryrun"}, "mode is 'dryrun', and may be safe, assisted, auto"),
        (
            "process_log",
            {"log": "x", "strategy": "quick"},
            "strategy is 'quick', and may be classic, reflective",
        ),
        ("start_run", {"agent": "a", "task": "t", "objective": "o", "mode": "0"}, "mode is '0'"),
        ("list_runs", {"state": "done"}, "state is 'done', and may be running, "),
        ("list_runs", {"state": "UNSPECIFIED"}, "and may be RUNNING, "),
        ("list_approvals", {"state": "open"}, "may be pending, "),
        ("answer_approval", {"approval_id": "a", "vote": "yes"}, "may be approve, reject, request_changes"),
        ("explain", {"agent": "a", "action": "b", "mode": "dryrun"}, "mode"),
        ("explain", {"agent": "a", "action": "b", "tier": "T9"}, "T0, T1, T2, T3 and T4"),
        ("set_budget", {"scope": "world", "scope_id": "", "limits": {}}, "may be run, agent, task, tenant"),
        ("set_budget", {"scope": "run", "scope_id": "r", "limits": {"euros": 1}}, "limits is 'euros'"),
        ("register_agent", {"agent_id": "a", "tier": "T9"}, "T0, T1, T2, T3 and T4"),
    ],
)
async def test_a_word_that_means_nothing_is_refused_with_those_that_do(
    call: str, given: dict[str, Any], may: str
) -> None:
    async with Provost("127.0.0.1:1") as provost:
        with pytest.raises(ProvostError) as refused:
            await getattr(provost, call)(**given)
    assert (type(refused.value), refused.value.reason) == (InvalidRequest, "FIELD_INVALID")
    assert may in str(refused.value)


def test_words_are_known_in_either_case() -> None:
    assert named(policy_pb2.Vote, "approve", "vote") == named(policy_pb2.Vote, "APPROVE", "vote")
    assert named(policy_pb2.Vote, "request_changes", "vote") == policy_pb2.VOTE_REQUEST_CHANGES
    assert named(policy_pb2.Vote, "", "vote") == policy_pb2.VOTE_UNSPECIFIED
