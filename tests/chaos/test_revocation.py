"""Fault 21: whoever is revoked has no power anywhere within a second, whatever it had, and whoever does not answer."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.faults import Fault, NotFound
from provost.policy.v1 import policy_pb2 as pb
from provost.state.v1 import state_pb2
from provost_sdk.client import Provost
from provost_sdk.receipts import announced_keys, verify_receipt
from tests.chaos.powerless import SURFACES, Inside, said, stopped
from tests.e2e.embedded.embedded import Embedded
from tests.fakes.wait import until

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def provost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    home: Path = tmp_path_factory.mktemp("provost") / "home"
    given = Embedded(home, RATE_LIMIT_REQUESTS="0")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


@pytest.fixture
async def inside(provost: Embedded) -> AsyncIterator[Inside]:
    asked = Inside(provost)
    yield asked
    await asked.close()


async def refusal(asked: Any) -> str:
    """The reason of the refusal that `asked` comes to."""
    with pytest.raises(Fault) as refused:
        await asked
    return refused.value.reason


async def everybody_there(inside: Inside, agent_id: str) -> None:
    """Wait until a revocation is answered by all: after a restart they need a moment to say that they are there."""
    for n in range(30):
        name = f"{agent_id}-{n}"
        await inside.session(name)
        if said((await inside.revoke(name)).receipt) == SURFACES:
            return
    raise AssertionError("never was everybody there")


async def test_a_stream_children_and_queued_work_are_over_within_a_second(inside: Inside) -> None:
    await everybody_there(inside, "warm")
    tokens = {"boss": await inside.session("boss")}
    tokens["child"] = await inside.session("child", "boss")
    tokens["grandchild"] = await inside.session("grandchild", "child")
    async with inside.attached(tokens["boss"]) as stream:
        runs = [await inside.started("boss", "t-1")]
        await until(lambda: bool(stream.tasks), "the agent was given nothing to do")
        runs += [await inside.started("boss", f"t-{n}") for n in (2, 3)]
        begun = time.monotonic()
        answer = await inside.revoke("boss")
        answered = time.monotonic()
        receipt = answer.receipt
        await asyncio.wait_for(stream.reading, 1.0)
        for agent_id, token in tokens.items():
            ask = pb.AuthorizeRequest(
                request_id=f"after-{agent_id}",
                session_token=token,
                context=pb.RunContext(run_id="r", task_id="t", agent_id=agent_id, mode=pb.MODE_AUTO),
                action=pb.Action(action_id="a1", name="diagnostics.memory", environment="sandbox"),
            )
            decision = (await inside.ask(inside.policy.Authorize, ask)).decision
            assert (decision.verdict, decision.reason) == (pb.VERDICT_DENY, "AGENT_REVOKED"), agent_id
        lock = state_pb2.AcquireLockRequest(agent_id="boss", task_id="t-1", holder="r", lease_seconds=30)
        assert await refusal(inside.ask(inside.state.AcquireLock, lock)) == "AGENT_REVOKED"
        entry = state_pb2.PutEntryRequest(
            task_id="t-1", section="problem", key="k", value='"v"', agent_id="boss", run_id="r"
        )
        assert await refusal(inside.ask(inside.state.PutEntry, entry)) == "AGENT_REVOKED"
        ended = [await inside.run(run_id, 5) for run_id in runs]
        assert time.monotonic() - answered < 1.0, "not all was refused within a second of the answer"
    assert {each.reason for each in ended} <= {"AGENT_REVOKED", "AGENT_PREVIOUSLY_REVOKED"}
    assert stream.ended_as is not None
    handoff = await inside.ask(inside.state.GetHandoff, state_pb2.GetHandoffRequest(task_id="t-1"))
    assert handoff.handoff.previous_agent_id == "boss"

    assert said(receipt) == SURFACES
    assert list(receipt.silent) == []
    assert list(receipt.children) == ["child", "grandchild"]
    figures = {each.surface: each for each in receipt.lost}
    assert figures["runs"].ended == 3
    assert figures["streams"].ended == 1
    assert figures["locks"].ended == 1
    assert figures["tokens"].ended == 1
    assert all(0 <= each.powerless_ms < 1000 for each in receipt.lost)
    assert max(each.powerless_ms for each in receipt.lost) <= receipt.waited_ms
    assert receipt.waited_ms <= (answered - begun) * 1000
    for child in ("child", "grandchild"):
        asked = pb.GetRevocationReceiptRequest(agent_id=child)
        assert said((await inside.ask(inside.policy.GetRevocationReceipt, asked)).receipt) == SURFACES
    address = inside.provost.run_json()["grpc"]
    async with Provost(address, inside.provost.key("auditor")) as auditor:
        keys = await announced_keys(auditor)
        assert {service for service, _ in keys} == set(SURFACES)
        for agent_id in tokens:
            proved = verify_receipt(await auditor.get_revocation_receipt(agent_id), keys)
            assert proved.statements == sum(map(len, SURFACES.values()))


@pytest.mark.parametrize("service", ["state", "orchestrator", "actuators"])
async def test_who_cannot_answer_is_named_and_nobody_waits_longer(
    inside: Inside, provost: Embedded, service: str
) -> None:
    await everybody_there(inside, f"warm-{service}")
    agent_id = f"left-{service}"
    await inside.session(agent_id)
    async with stopped(provost, service):
        begun = time.monotonic()
        receipt = (await inside.revoke(agent_id, 700)).receipt
        took = time.monotonic() - begun
    assert 0.7 <= took < 1.7
    assert said(receipt) == {name: each for name, each in SURFACES.items() if name != service}
    named = {(each.partition("/")[0], each.partition(":")[2]) for each in receipt.silent}
    assert named == {(service, surface) for surface in SURFACES[service]}


async def test_a_service_killed_meanwhile_is_named_or_speaks_when_it_is_back(
    inside: Inside, provost: Embedded
) -> None:
    await everybody_there(inside, "warm-killed")
    await inside.session("k-1")
    restarts = provost.restarts_of("state")
    os.kill(provost.run_json()["pids"]["state"], signal.SIGSTOP)
    answer = asyncio.create_task(inside.revoke("k-1", 10_000))
    await until(lambda: revoked(provost, "k-1"), "it is not revoked")
    os.kill(provost.run_json()["pids"]["state"], signal.SIGKILL)
    receipt = (await answer).receipt
    await asyncio.to_thread(provost.until_restarted, "state", restarts)
    heard = said(receipt)
    named = {each.partition(":")[2] for each in receipt.silent if each.startswith("state/")}
    assert heard.get("state", set()) | named == SURFACES["state"]
    assert not heard.get("state", set()) & named
    lock = state_pb2.AcquireLockRequest(agent_id="k-1", task_id="t", holder="r", lease_seconds=30)
    await until(lambda: alive(inside), "state is not back")
    assert await refusal(inside.ask(inside.state.AcquireLock, lock)) == "AGENT_REVOKED"


async def test_policy_killed_meanwhile_answers_whoever_asks_again(inside: Inside, provost: Embedded) -> None:
    await everybody_there(inside, "warm-again")
    await inside.session("q-1")
    async with stopped(provost, "state"):
        answer = asyncio.create_task(inside.revoke("q-1", 10_000))  # sent again by itself when policy is back
        await until(lambda: revoked(provost, "q-1"), "it is not revoked")
        os.kill(provost.run_json()["pids"]["policy"], signal.SIGKILL)
        receipt = (await answer).receipt
    heard = said(receipt)
    assert heard["orchestrator"] == SURFACES["orchestrator"], "what was said before was not said again"
    assert "state" not in heard


async def test_policy_killed_meanwhile_has_revoked_all_the_same_and_gives_the_receipt_later(
    inside: Inside, provost: Embedded
) -> None:
    await everybody_there(inside, "warm-policy")
    token = await inside.session("p-1")
    await inside.session("p-2", "p-1")
    restarts = provost.restarts_of("policy")
    async with stopped(provost, "state"):
        answer = asyncio.create_task(inside.revoke("p-1", 10_000))
        await until(lambda: revoked(provost, "p-1"), "it is not revoked")
        answer.cancel()  # whoever asked has gone, too
        os.kill(provost.run_json()["pids"]["policy"], signal.SIGKILL)
    await asyncio.to_thread(provost.until_restarted, "policy", restarts)
    asked = pb.GetRevocationReceiptRequest(agent_id="p-1")
    assert await refusal(inside.ask(inside.policy.GetRevocationReceipt, asked)) == "RECEIPT_UNKNOWN"
    ask = pb.ReserveBudgetRequest(
        session_token=token,
        context=pb.RunContext(run_id="r", task_id="t", agent_id="p-1", mode=pb.MODE_AUTO),
        amounts=pb.Amounts(actions=1),
    )
    assert await refusal(inside.ask(inside.policy.ReserveBudget, ask)) == "AGENT_REVOKED"

    async def there() -> bool:
        try:
            await inside.ask(inside.policy.GetRevocationReceipt, asked)
        except NotFound:
            return False
        return True

    await until(there, "the receipt never came", 40.0)
    receipt = (await inside.ask(inside.policy.GetRevocationReceipt, asked)).receipt
    heard = said(receipt)
    assert list(receipt.children) == ["p-2"]
    assert heard["orchestrator"] == SURFACES["orchestrator"], "what was said before was not said again"
    assert receipt.waited_ms > 10_000


def revoked(provost: Embedded, agent_id: str) -> bool:
    """Whether the log has the revocation: the actuators have said so in their own words by now."""
    return any(
        f".agent.{agent_id}.AgentRevoked".encode() in path.read_bytes()
        for path in (provost.home / "nats").rglob("*.blk")
    )


async def alive(inside: Inside) -> bool:
    try:
        await inside.ask(inside.state.ListLocks, state_pb2.ListLocksRequest())
    except Fault:
        return False
    return True
