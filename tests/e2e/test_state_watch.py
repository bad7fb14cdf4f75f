"""A task is watched through the gateway while an agent works on it, and while state is killed. Real processes."""

import asyncio
import os
import signal
from contextlib import aclosing
from typing import Any

import httpx2 as httpx
import pytest

from provost.state.v1 import state_pb2 as pb
from provost_sdk.client import Provost
from tests.e2e.embedded.embedded import Embedded
from tests.e2e.test_main_job import until_over

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_run_is_seen_at_work_and_after_state_was_killed(
    running: Embedded, operator: httpx.Client
) -> None:
    sequences: list[int] = []
    told: list[pb.WatchResponse.Change] = []
    interrupted: list[str] = []
    whole = asyncio.Event()

    async def follow() -> None:
        async with Provost(running.run_json()["grpc"], running.key("viewer")) as provost:
            watching: Any = provost.watch_state(task="t-watch", interrupted=interrupted.append)
            async with aclosing(watching) as answers:
                async for answer in answers:
                    told.extend(answer.changes)
                    sequences.extend(change.sequence for change in answer.changes)
                    if answer.snapshot_complete:
                        whole.set()

    def run() -> dict[str, Any]:
        asked = {"agent": "sre-1", "task": "t-watch", "objective": "why is the disk full", "mode": "safe"}
        begun = operator.post("/api/runs", json=asked)
        assert begun.status_code < 300, begun.text
        return until_over(operator, begun.json()["run_id"])

    following = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        await whole.wait()
    assert not told, "nobody works on the task yet"
    await asyncio.to_thread(run)
    await until(lambda: released(told), following)
    assert not interrupted
    assert any(change.agent.phase for change in told)

    (state,) = [pid for pid, command in running.processes().items() if "services.state" in command]
    restarts = running.restarts_of("state")
    os.kill(state, signal.SIGKILL)
    await asyncio.to_thread(running.until_restarted, "state", restarts)
    whole.clear()
    count = len(told)
    await asyncio.to_thread(run)
    await until(lambda: len(told) > count and released(told), following)
    assert interrupted
    assert not whole.is_set(), "it had to begin anew"
    assert sequences == sorted(set(sequences))
    following.cancel()


def released(told: list[pb.WatchResponse.Change]) -> bool:
    """Whether the agent was seen, and has let go of its lock. That it held one may have passed between two tellings."""
    agents = [change.agent for change in told if change.HasField("agent")]
    return bool(agents) and not agents[-1].HasField("lock") and bool(agents[-1].phase)


async def until(fact: Any, following: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(60):
        while not fact():
            assert not following.done(), following
            await asyncio.sleep(0.02)
