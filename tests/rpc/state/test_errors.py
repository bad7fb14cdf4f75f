"""Whose errors count: of an agent that has its power, in a task that it has had, for the run whose token is shown."""

from typing import Any

import pytest

from chassis.rpc import client
from kernel.faults import Fault
from provost.state.v1 import state_pb2 as pb
from services.state.domain.errors import ErrorRecorded
from tests.rpc.state.asks import acquire, issue, recorded
from tests.rpc.state.conftest import Running, cause
from tests.rpc.state.test_behind import Behind, behind
from tests.rpc.state.test_tasks import revoke
from tests.rpc.state.test_tokens import refusal

__all__ = ["behind"]


async def err(state: Running, token: int = 0, **fields: Any) -> int:
    """How many there are of the agent afterwards."""
    request = pb.RecordErrorRequest(
        agent_id="sre-1", task_id="task-1", run_id="run-1", error_type="TIMEOUT", fencing_token=token
    )
    request.MergeFrom(pb.RecordErrorRequest(**fields))
    return int((await client.call(state.stub.RecordError, request, cause())).errors.total)


@pytest.mark.parametrize(
    "other",
    [{"run_id": "made-up"}, {"task_id": "task-2"}, {"error_type": "no word"}],
    ids=lambda each: next(iter(each)),
)
async def test_a_token_counts_errors_of_its_own_run_and_task_alone(
    state: Running, other: dict[str, str]
) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    for given_back in (False, True):
        if given_back:
            request = pb.ReleaseLockRequest(agent_id="sre-1", holder="run-1", fencing_token=token)
            await client.call(state.stub.ReleaseLock, request, cause())
        with pytest.raises(Fault) as refused:
            await err(state, token, **other)
        assert refused.value.facts["field"] == next(iter(other))
    assert await err(state, token) == 1
    assert await err(state, token, run_id="run-1") == 2


async def test_without_a_token_the_task_must_be_one_that_the_agent_has_had(state: Running) -> None:
    await issue(state)
    assert await refusal(err(state)) == "FIELD_INVALID"
    await acquire(state)
    assert await refusal(err(state, task_id="task-2")) == "FIELD_INVALID"
    assert await refusal(err(state, agent_id="made-up")) == "FIELD_INVALID"
    assert await err(state) == 1


async def test_a_run_that_has_lost_its_agent_to_another_task_still_counts_its_errors(state: Running) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    release = pb.ReleaseLockRequest(agent_id="sre-1", holder="run-1", fencing_token=token)
    await client.call(state.stub.ReleaseLock, release, cause())
    await issue(state, "task-2")
    await acquire(state, "run-2", task_id="task-2")
    assert await refusal(err(state, token)) == "FENCING_TOKEN_STALE"
    assert await err(state) == 1


async def test_a_run_whose_packet_was_followed_is_told_its_own_errors_and_leaves_the_next_none(
    state: Running,
) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    assert await err(state, token) == 1
    release = pb.ReleaseLockRequest(agent_id="sre-1", holder="run-1", fencing_token=token)
    await client.call(state.stub.ReleaseLock, release, cause())
    await issue(state, "task-2")
    assert await err(state, token) == 2
    token = (await acquire(state, "run-2", task_id="task-2")).lock.fencing_token
    assert await err(state, token, run_id="run-2", task_id="task-2") == 1


async def test_the_task_may_have_been_begun_at_another_replica_just_now(
    state: Running, behind: Behind
) -> None:
    await issue(state)
    async with behind() as other:
        await acquire(state)
        assert await err(other) == 1


@pytest.mark.parametrize("shows_its_token", [True, False])
async def test_nothing_is_counted_of_a_revoked_agent(state: Running, shows_its_token: bool) -> None:
    await issue(state)
    token = (await acquire(state)).lock.fencing_token
    await state.follower.reached(await revoke(state, "sre-1"))
    assert await refusal(err(state, token if shows_its_token else 0)) == "AGENT_REVOKED"
    assert not recorded(state, ErrorRecorded)
