"""Everything that can be killed is killed, again and again, while runs are going: nothing acknowledged is lost."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.embedded import servers
from tests.chaos.callers import Callers
from tests.chaos.invariants import check, everything
from tests.e2e.embedded.embedded import Embedded

SEED = 20
SERVICES = ("policy", "state", "ledger", "orchestrator", "actuators", "agents", "gateway")
SERVERS = ("nats-server", "valkey-server")
SERVING_AGAIN_SECONDS = 30.0
"""10 s is the limit on a machine of its own; one that is busy with other things is given three times as much."""


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", RATE_LIMIT_REQUESTS="0", LOG_LEVEL="INFO")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


def victims() -> list[str]:
    """Twenty kills, each process at least twice, in an order that `SEED` fixes."""
    order = random.Random(SEED)
    twice = [*SERVICES, *SERVERS] * 2
    more = [order.choice((*SERVICES, *SERVERS)) for _ in range(20 - len(twice))]
    chosen = twice + more
    order.shuffle(chosen)
    return chosen


def command(provost: Embedded, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, as the administrator of this home."""
    env = {**provost.environment, "PROVOST_API_KEY": provost.key("admin")}
    script = Path(sys.executable).with_name("provost")
    return subprocess.run([script, *words], env=env, capture_output=True, text=True, timeout=120, check=False)


def must(provost: Embedded, *words: str) -> str:
    done = command(provost, *words)
    assert done.returncode == 0, f"provost {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def nats_url(provost: Embedded) -> str:
    secret = (provost.home / "keys" / "nats").read_text().strip()
    return servers.nats_url(int(provost.environment["PROVOST_NATS_PORT"]), secret)


def callers_of(provost: Embedded) -> Callers:
    return Callers(provost.run_json()["http"], provost.key("operator"))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_twenty_kills_lose_nothing_acknowledged(provost: Embedded) -> None:
    callers = callers_of(provost)
    asking = asyncio.create_task(callers.ask())
    await callers.more(4, 60)
    for n, victim in enumerate(victims()):
        restarts = provost.restarts_of(victim)
        os.kill(provost.run_json()["pids"][victim], signal.SIGKILL)
        took = await callers.more(callers.at_once + 1, SERVING_AGAIN_SECONDS + 30)
        assert took < SERVING_AGAIN_SECONDS, f"kill {n}: {victim}: {took:.1f} s without serving"
        await asyncio.to_thread(provost.until_restarted, victim, restarts)
    callers.finish()
    await asking
    assert callers.unexpected == []
    check(await everything(nats_url(provost)), callers.acknowledged)
    must(provost, "status", "--wait", "20")
    must(provost, "ledger", "verify")
    must(provost, "state", "verify")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_store_and_ledger_come_back_equal_after_everything_was_killed(provost: Embedded) -> None:
    callers = callers_of(provost)
    asking = asyncio.create_task(callers.ask())
    await callers.more(6, 60)
    provost.kill()  # the supervisor, and with it everything it started
    asking.cancel()
    await asyncio.wait({asking})
    await asyncio.to_thread(provost.until, lambda: not provost.processes(), "everything is dead")
    wiped = [provost.home / "ledger" / "ledger.db", provost.home / "store"]
    for place in wiped:
        assert place.exists(), f"{place} was not there: nothing was wiped"
        if place.is_dir():
            shutil.rmtree(place)
            continue
        for each in place.parent.glob(f"{place.name}*"):
            each.unlink()
    await asyncio.to_thread(provost.start)
    again = callers_of(provost)
    asking = asyncio.create_task(again.ask())
    await again.more(2, 60)
    again.finish()
    await asking
    must(provost, "status", "--wait", "20")
    must(provost, "ledger", "verify")
    must(provost, "state", "verify")
    events = await everything(nats_url(provost))
    check(events, callers.acknowledged | again.acknowledged)
