"""A holder as a process of its own: takes an agent's lock and moves it on, until it is refused.

python -m tests.integration.state.holder ADDRESS LEASE_SECONDS

Says on standard output: its token, then a line for each step, then why it was refused.
"""

import asyncio
import itertools
import sys

from chassis import process
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Fault
from provost.state.v1 import state_pb2 as pb
from provost.state.v1.state_pb2_grpc import StateServiceStub
from tests.integration.state.process import KEY

STEP_SECONDS = 0.02


def _cause() -> Cause:
    return Cause("default", "", "service:holder", process.now(), "run-1")


async def main(address: str, lease_seconds: int) -> None:
    async with client.channel(address, internal_key=KEY) as channel:
        stub = StateServiceStub(channel)
        acquire = pb.AcquireLockRequest(
            agent_id="sre-1", task_id="task-1", holder="run-1", lease_seconds=lease_seconds
        )
        token = (await client.call(stub.AcquireLock, acquire, _cause())).lock.fencing_token
        print(token, flush=True)
        for n in itertools.count():
            advance = pb.AdvanceRequest(
                agent_id="sre-1",
                task_id="task-1",
                run_id="run-1",
                phase="EXECUTE",
                step=f"step-{n}",
                fencing_token=token,
                lease_seconds=lease_seconds,
            )
            try:
                await client.call(stub.Advance, advance, _cause(), 60)
            except Fault as refused:
                print(refused.reason, flush=True)
                return
            print(f"step-{n}", flush=True)
            await asyncio.sleep(STEP_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
