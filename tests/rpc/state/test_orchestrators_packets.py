"""The packet that a run of the orchestrator had, found again after its agent was given others."""

from chassis.rpc import client
from services.orchestrator.adapters.state import GrpcState
from services.state.domain.view import KEPT_PACKETS
from tests.rpc.state.asks import issue
from tests.rpc.state.conftest import KEY, Running, cause


async def test_a_run_finds_the_packet_that_its_agent_had_for_its_task(state: Running) -> None:
    for task_id in ("task-1", *(f"other-{n}" for n in range(1, KEPT_PACKETS))):
        await issue(state, task_id)
    async with client.channel(f"127.0.0.1:{state.server.port}", internal_key=KEY) as channel:
        door = GrpcState(channel)
        found = await door.packet_for("sre-1", "task-1", cause())
        assert found is not None
        assert (found.task_id, found.version) == ("task-1", 1)
        assert await door.packet_for("sre-1", "task-9", cause()) is None
        assert await door.packet_for("sre-9", "task-1", cause()) is None
        await issue(state, "one-too-many")
        assert await door.packet_for("sre-1", "task-1", cause()) is None
