"""Fault 5 in a whole system: NATS comes back with an older copy. Nothing is written until the lost end is put back."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from chassis.eventlog.connection import connect
from chassis.eventlog.stream import stream_state
from tests.chaos.callers import LOG, Callers
from tests.chaos.invariants import check, everything
from tests.chaos.test_kill import command, must, nats_url
from tests.e2e.embedded.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", RATE_LIMIT_REQUESTS="0")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


async def runs(provost: Embedded, count: int, prefix: str) -> dict[str, int]:
    callers = Callers(provost.run_json()["http"], provost.key("operator"), prefix=prefix)
    asking = asyncio.create_task(callers.ask())
    await callers.more(count, 60)
    callers.finish()
    await asking
    assert callers.unexpected == []
    return callers.acknowledged


async def last_sequence(provost: Embedded) -> int:
    connection = await connect(nats_url(provost), name="test")
    state = await stream_state(connection)
    await connection.close()
    return state.last


async def asked(client: httpx.AsyncClient, timeout_seconds: float) -> int:
    body = {"log": LOG, "mode": "safe", "request_id": "while-it-is-gone"}
    try:
        answer = await client.post("/api/process_log", json=body, timeout=timeout_seconds)
    except httpx.ReadTimeout:
        return 504
    return answer.status_code


async def refused(client: httpx.AsyncClient) -> bool:
    """Whether nothing was acknowledged."""
    return await asked(client, 8) in (502, 503, 504)


async def test_nothing_is_written_until_the_lost_end_is_put_back(provost: Embedded) -> None:
    acknowledged = await runs(provost, 4, "before")
    provost.stop()
    nats = provost.home / "nats"
    shutil.copytree(nats, provost.home / "older")
    await asyncio.to_thread(provost.start)
    begun = await last_sequence(provost)
    acknowledged |= await runs(provost, 6, "lost")
    must(provost, "ledger", "verify")
    whole = await last_sequence(provost)
    assert whole > begun + 20

    restarts = provost.restarts_of("nats-server")
    nats.rename(provost.home / "gone")
    (provost.home / "older").rename(nats)
    os.kill(provost.run_json()["pids"]["nats-server"], signal.SIGKILL)
    headers = {"X-API-Key": provost.key("operator")}
    async with httpx.AsyncClient(base_url=provost.run_json()["http"], headers=headers) as client:
        assert await refused(client)
        await asyncio.to_thread(provost.until_restarted, "nats-server", restarts)
        older = await last_sequence(provost)
        assert older <= begun, "it is not the older copy"
        assert await refused(client)
        said = provost.home / "logs" / "ledger.log"
        await asyncio.to_thread(
            provost.until, lambda: "event log fenced" in said.read_text(), "the ledger fences the log"
        )
        for victim in ("policy", "orchestrator"):  # who starts anew knows nothing of what was lost
            before = provost.restarts_of(victim)
            os.kill(provost.run_json()["pids"][victim], signal.SIGKILL)
            await asyncio.to_thread(provost.until_restarted, victim, before)
        assert await refused(client)
        assert await last_sequence(provost) == older, "something was written over what was lost"
        listed = command(provost, "ledger", "list", "--limit", "1")
        assert listed.returncode == 0, "the ledger does not answer: " + listed.stderr

    told = command(provost, "ledger", "repair-log", "--dry-run")
    assert f"{older + 1} to {whole}" in told.stdout, told.stdout + told.stderr
    unasked = command(provost, "ledger", "repair-log")
    assert unasked.returncode != 0, "it changed the log without asking"
    assert await last_sequence(provost) == older
    must(provost, "ledger", "repair-log", "--yes")
    assert await last_sequence(provost) >= whole
    must(provost, "status", "--wait", "30")
    async with httpx.AsyncClient(base_url=provost.run_json()["http"], headers=headers) as client:
        assert await asked(client, 60) == 200, "what was refused meanwhile is not done now"
    acknowledged |= await runs(provost, 6, "after")
    must(provost, "ledger", "verify")
    must(provost, "state", "verify")
    check(await everything(nats_url(provost)), acknowledged)
