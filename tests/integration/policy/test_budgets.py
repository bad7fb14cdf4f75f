"""One budget, two replicas, many at once, and kill -9 in between: never overspent, nothing lost, nothing twice."""

import asyncio
from contextlib import AsyncExitStack

from chassis.eventlog.wire import Connection
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from tests.chaos.spenders import Spender, audited, prepare
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import put_packet

CLIENTS, EACH = 16, 15
MOST = 150


async def test_killed_while_a_budget_is_drawn_on_it_is_never_overspent_and_nothing_is_lost(
    policy: PolicyProcess, other: PolicyProcess, events: Connection
) -> None:
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(each.channel()) for each in (policy, other)]
        books = await prepare(PolicyServiceStub(channels[0]), lambda: put_packet(events, "sre-1"), MOST, 0)
        spenders = [Spender(n, channels, books) for n in range(CLIENTS)]

        async def work(spender: Spender) -> None:
            for _ in range(EACH):
                await spender.once()

        async def kill_twice() -> None:
            for n, replica in ((CLIENTS * EACH // 4, policy), (CLIENTS * EACH // 2, other)):
                while books.answers < n:
                    await asyncio.sleep(0.005)
                replica.kill()
                await asyncio.to_thread(replica.start)

        async with asyncio.timeout(120):
            await asyncio.gather(kill_twice(), *map(work, spenders))
    counted = await audited(events, books, MOST)
    assert counted.asked
    assert books.refused, "the budget was never spent: nothing was tried"
    assert books.repeated, "nobody noticed the kills"
