"""Where the log ends is believed of nobody but a leader whom most of the servers hear (real nats-servers)."""

from typing import Any

import pytest

from chassis.eventlog.api import call
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import EVENTS, led, stream_state
from kernel.faults import Unavailable
from tests.fakes.nats_cluster import NatsCluster, nats_cluster, with_a_log
from tests.fakes.wait import until

__all__ = ["nats_cluster"]

HEARD, SILENT, NEVER = 10**6, 4 * 10**9, 0


def answer(*active_ns: int, leader: str = "n1") -> dict[str, Any]:
    others = [{"name": f"n{n}", "current": True, "active": ns} for n, ns in enumerate(active_ns, start=2)]
    return {"cluster": ({"leader": leader} if leader else {}) | ({"replicas": others} if others else {})}


@pytest.mark.parametrize(
    ("told", "leads"),
    [
        pytest.param({}, True, id="a server by itself"),
        pytest.param(answer(), True, id="the only copy"),
        pytest.param(answer(HEARD, HEARD), True, id="all"),
        pytest.param(answer(HEARD, SILENT), True, id="one of three is gone"),
        pytest.param(answer(SILENT, HEARD, NEVER, HEARD), True, id="two of five are gone"),
        pytest.param(answer(SILENT, SILENT), False, id="two of three are gone"),
        pytest.param(answer(NEVER, SILENT), False, id="one never came, one is gone"),
        pytest.param(answer(SILENT, HEARD, NEVER, SILENT), False, id="three of five are gone"),
        pytest.param(answer(HEARD, HEARD, leader=""), False, id="no leader"),
        pytest.param(answer(leader=""), False, id="the only copy, and no leader"),
    ],
)
def test_who_leads_is_heard_by_most(told: dict[str, Any], leads: bool) -> None:
    assert led(told) is leads


async def test_a_leader_that_is_cut_off_is_not_believed(nats_cluster: NatsCluster) -> None:
    await with_a_log(nats_cluster)
    connection = await connect(nats_cluster.url, name="test")
    leader = nats_cluster.leader(await call(connection, f"STREAM.INFO.{EVENTS}"))
    await connection.close()
    connection = await connect(leader.url, name="test")
    assert (await stream_state(connection)).replicas == 3
    others = [node for node in nats_cluster.nodes if node is not leader]
    for node in others:
        node.pause()
    try:

        async def refused() -> bool:
            try:
                await stream_state(connection, patience_seconds=0.1)
            except Unavailable as fault:
                return fault.reason == "LOG_UNREACHABLE"
            return False

        await until(refused, "it is believed for ever", 8)
        told = await call(connection, f"STREAM.INFO.{EVENTS}")
        assert told["cluster"]["leader"], "it no longer believes in itself: nothing was shown"
    finally:
        for node in others:
            node.resume()
        await connection.close()
    await with_a_log(nats_cluster)
