"""Reading a run at any replica: as new as the caller knows it to be."""

import asyncio
from pathlib import Path

from chassis import process
from chassis.rpc import client
from kernel.events import Cause
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from services.orchestrator.domain.records import Mode
from tests.rpc.orchestrator.test_attach import served
from tests.unit.orchestrator.house import TENANT


async def test_a_run_is_read_by_a_log_that_has_come_as_far_as_was_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        first = await it.house.process(Mode.SAFE)

        async def read(at_least_sequence: int) -> pb.Run:
            request = pb.GetRunRequest(run_id=first.run.known.run_id, at_least_sequence=at_least_sequence)
            run: pb.Run = (
                await client.call(it.stub.GetRun, request, Cause(TENANT, "", "key:op", process.now()))
            ).run
            return run

        assert (await read(first.sequence)).sequence == first.sequence
        reading = asyncio.create_task(read(first.sequence + 1))
        for _ in range(5):
            await read(0)
        assert not reading.done(), "answered by a log that has not come so far"
        await it.house.process(Mode.SAFE, "r2")
        assert (await reading).sequence == first.sequence
