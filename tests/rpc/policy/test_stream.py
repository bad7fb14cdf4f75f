"""StreamAuthorize: each request by itself, in any order, within bounds; what fails is told and ends nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chassis import process
from chassis.rpc.cause import metadata_of
from kernel.events import Cause
from provost.policy.v1 import policy_pb2 as pb
from services.policy.rpc.decisions import STREAM_HOLDS
from services.policy.rpc.streaming import Answering
from tests.rpc.policy.conftest import Running, action, context


def request(number: int, **fields: Any) -> pb.StreamAuthorizeRequest:
    made: dict[str, Any] = {"request_id": f"r{number}", "context": context(), "action": action()} | fields
    return pb.StreamAuthorizeRequest(ask=pb.AuthorizeRequest(**made))


def opened(running: Running, requests: Any = None) -> Any:
    carried = metadata_of(Cause("default", "", "service:tests", process.now(), "run-1"))
    return running.stub.StreamAuthorize(requests, metadata=carried, timeout=20)


async def ready(running: Running) -> None:
    await running.register()
    await running.packet()


async def test_each_is_answered_and_on_record(running: Running) -> None:
    await ready(running)
    answers = [each async for each in opened(running, [request(n) for n in range(300)])]
    assert {each.request_id for each in answers} == {f"r{n}" for n in range(300)}
    assert {each.answer.decision.reason for each in answers} == {"ALLOWED_BY_TIER"}
    recorded = {each.decision_id for each in await running.decisions()}
    assert recorded == {each.answer.decision.decision_id for each in answers}


async def test_what_fails_is_told_and_ends_nothing_else(running: Running) -> None:
    await ready(running)
    asked = [
        request(0),
        request(1, action=pb.Action()),
        request(2, session_token="x.y.z"),
        request(3, context=context(at_least_sequence=0), action=action("rm.all")),
        request(4),
    ]
    answers = {each.request_id: each async for each in opened(running, asked)}
    assert answers["r0"].answer.decision.verdict == answers["r4"].answer.decision.verdict == pb.VERDICT_ALLOW
    assert answers["r3"].answer.decision.reason == "ACTION_UNKNOWN"
    failures = {number: answers[f"r{number}"].failure for number in (1, 2)}
    assert {number: each.reason for number, each in failures.items()} == {
        1: "FIELD_MISSING",
        2: "TOKEN_INVALID",
    }
    assert not failures[1].retry


async def test_what_is_not_durable_is_told_as_worth_trying_again(running: Running) -> None:
    await ready(running)
    running.log.fail_next()
    (answer,) = [each async for each in opened(running, [request(0)])]
    assert (answer.failure.reason, answer.failure.retry) == ("LOG_UNREACHABLE", True)


async def test_a_stream_that_stays_open_refuses_a_revoked_agent(running: Running) -> None:
    await ready(running)
    call = opened(running)
    await call.write(request(0))
    assert (await call.read()).answer.decision.verdict == pb.VERDICT_ALLOW
    await running.call("RevokeAgent", pb.RevokeAgentRequest(agent_id="sre-1", kind="operator"))
    await call.write(request(1))
    assert (await call.read()).answer.decision.reason == "AGENT_REVOKED"
    await call.done_writing()


async def test_who_never_reads_is_not_read_either() -> None:
    taken: list[int] = []

    async def endless() -> AsyncIterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    async def answer(number: int) -> int:
        await asyncio.sleep(0)
        return number

    answers = Answering(endless(), answer, STREAM_HOLDS).answers()
    first = await anext(answers)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert first == 0
    assert len(taken) <= STREAM_HOLDS + 1, "more was read than is held"
    second = await anext(answers)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert second == 1
    assert len(taken) == STREAM_HOLDS + 2, "what was taken off our hands did not make room"
    await answers.aclose()  # type: ignore[attr-defined]


async def test_what_came_before_a_broken_end_is_answered() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError("cut off")

    async def answer(number: int) -> int:
        return number * 10

    answers = Answering(broken(), answer, 4).answers()
    assert sorted([await anext(answers), await anext(answers)]) == [10, 20]
    with pytest.raises(ValueError, match="cut off"):
        await anext(answers)


async def test_who_goes_away_leaves_nothing_behind() -> None:
    at_work = asyncio.Event()
    ended: list[int] = []

    async def one() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def answer(number: int) -> int:
        try:
            at_work.set()
            await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    answers = Answering(one(), answer, 4).answers()
    waiting = asyncio.ensure_future(anext(answers))
    await at_work.wait()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert ended == [1]
