"""The compose cluster on a real Docker Engine: brought up, scaled, and hurt under load; nothing acknowledged is lost.

Told in order, on one cluster: each test goes on where the one before ended, and the last one holds all that happened
against the invariants of docs/faults.md.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2 as httpx
import pytest

from tests.chaos.callers import LOG, Callers
from tests.chaos.invariants import check, everything
from tests.fakes.wait import until
from tests.system.cluster.engine import Engine
from tests.system.cluster.front import Front
from tests.system.cluster.images import build
from tests.system.cluster.stack import SCALED, UP_SECONDS, Stack
from tests.unit.house.skeleton import REPOSITORY

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

ACKNOWLEDGED: dict[str, int] = {}
GAPS: list[tuple[str, float]] = []
LONGEST_GAP_SECONDS = 30.0
"""Far more than it takes on a machine of its own (docs/cluster.md has figures): callers wait, and are answered."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    engine = Engine.there()
    made: Stack | None = None
    try:
        build(engine)
        made = Stack(engine, "provost-test", tmp_path_factory.mktemp("cluster"))
        made.down()
        yield made
    finally:
        if made is not None:
            made.down()
        engine.stop()


@asynccontextmanager
async def under_load(stack: Stack, what: str, prefix: str) -> AsyncIterator[Callers]:
    """Callers who ask for runs all the while; every one of them is seen to its end."""
    front = Front(lambda: stack.addresses("gateway", 5000))
    await front.start()
    callers = Callers(front.url, stack.key("operator"), at_once=3, prefix=f"{prefix}-")
    asking = asyncio.create_task(callers.ask())
    try:
        await callers.more(4, 60)
        callers.longest_gap_seconds = 0.0
        yield callers
        await callers.more(4, 60)
        GAPS.append((what, callers.longest_gap_seconds))
        callers.finish()
        await asyncio.wait_for(asking, 90)
    finally:
        asking.cancel()
        await front.stop()
    assert callers.unexpected == [], what
    assert callers.longest_gap_seconds < LONGEST_GAP_SECONDS, what
    ACKNOWLEDGED.update(callers.acknowledged)


def test_it_is_healthy_within_a_minute_and_does_the_main_job(stack: Stack) -> None:
    took = stack.up()
    print(f"healthy after {took:.1f} s")
    assert took <= UP_SECONDS
    said = stack.cli("process", str(REPOSITORY / "examples" / "ssh-guessing.log"), role="operator")
    assert "COMPLETED" in said
    assert "All is well" in stack.cli("status")


async def test_services_are_scaled_under_load(stack: Stack) -> None:
    async with under_load(stack, "scaling up", "up") as callers:
        await asyncio.to_thread(stack.up, SCALED)
        await callers.more(4, 60)
    async with under_load(stack, "scaling down", "down") as callers:
        await asyncio.to_thread(stack.up, dict.fromkeys(SCALED, 1))
        await callers.more(4, 60)
        await asyncio.to_thread(stack.up, SCALED)


@pytest.mark.parametrize("service", [*SCALED, "actuators", "agents"])
async def test_a_replica_is_killed(stack: Stack, service: str) -> None:
    async with under_load(stack, f"kill -9 of one {service}", f"kill-{service}") as callers:
        await asyncio.to_thread(stack.kill, (await asyncio.to_thread(stack.containers, service))[0])
        await callers.more(6, 60)
        await asyncio.to_thread(stack.until_healthy, service)


async def test_the_leader_of_the_log_and_the_database_are_killed(stack: Stack) -> None:
    leader = await asyncio.to_thread(stack.nats_leader)
    async with under_load(stack, "kill -9 of the NATS leader", "leader") as callers:
        await asyncio.to_thread(stack.kill, (await asyncio.to_thread(stack.containers, leader))[0])
        await callers.more(6, 60)
        await asyncio.to_thread(stack.until_healthy, leader)
    async with under_load(stack, "kill -9 of PostgreSQL", "database") as callers:
        await asyncio.to_thread(stack.kill, (await asyncio.to_thread(stack.containers, "postgres"))[0])
        await callers.more(6, 60)
        await asyncio.to_thread(stack.until_healthy, "postgres", "ledger")


async def test_a_container_is_cut_off(stack: Stack) -> None:
    (one, *_) = await asyncio.to_thread(stack.containers, "state")
    async with under_load(stack, "one state cut off the network", "cut") as callers:
        with stack.cut_off(one):
            await callers.more(6, 60)
            await until(
                lambda: stack.health(one) == "unhealthy", "it says that it is well though it sees nobody", 60
            )
        await asyncio.to_thread(stack.until_healthy, "state")


async def test_everything_is_restarted_one_by_one_under_load(stack: Stack) -> None:
    async with under_load(stack, "rolling restart of everything", "rolling") as callers:
        for service in ("nats-1", "nats-2", "nats-3", *SCALED, "actuators", "agents"):
            for container in await asyncio.to_thread(stack.containers, service):
                await asyncio.to_thread(stack.engine.run, "restart", "--time", "20", container)
                await asyncio.to_thread(stack.until_healthy, service)
        await callers.more(4, 60)


async def test_without_two_of_three_nats_nodes_nothing_is_written_and_readiness_says_so(stack: Stack) -> None:
    gone = [*stack.containers("nats-1"), *stack.containers("nats-2")]
    stack.engine.run("pause", *gone)
    try:
        (policy, *_) = stack.containers("policy")
        await until(lambda: stack.health(policy) == "unhealthy", "policy says that it is well", 60)
        host, port = stack.addresses("gateway", 5000)[0]
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=30) as client:
            body = {"log": LOG, "mode": "safe", "request_id": "without-quorum"}
            answer = await client.post(
                "/api/process_log", json=body, headers={"X-API-Key": stack.key("operator")}
            )
        assert answer.status_code in {502, 503, 504}, answer.text
    finally:
        stack.engine.run("unpause", *gone)
    stack.until_healthy("nats-1", "nats-2", "nats-3", *SCALED, "actuators", "agents", seconds=90)
    async with under_load(stack, "two of three NATS nodes gone, and back", "quorum"):
        pass


async def test_nothing_that_was_acknowledged_is_lost_and_all_of_it_is_proved(stack: Stack) -> None:
    events = await everything(*stack.nats())
    check(events, ACKNOWLEDGED)
    assert len(ACKNOWLEDGED) > 50
    begun = time.monotonic()
    assert "All holds" in stack.cli("ledger", "verify")
    stack.cli("state", "verify")
    print(f"{len(ACKNOWLEDGED)} runs, {len(events)} events, verified in {time.monotonic() - begun:.1f} s")
    print(f"\n{'what':<45} longest time without an answer, s")
    for what, gap in GAPS:
        print(f"{what:<45} {gap:5.1f}")
