"""Asked to stop, a service finishes what it has begun: nobody who is waiting goes without an answer."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.callers import Callers
from tests.chaos.invariants import check, everything
from tests.chaos.test_kill import nats_url
from tests.e2e.embedded.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", RATE_LIMIT_REQUESTS="0")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


async def test_sigterm_under_load_fails_no_call(provost: Embedded) -> None:
    callers = Callers(provost.run_json()["http"], provost.key("operator"))
    asking = asyncio.create_task(callers.ask())
    await callers.more(4, 60)
    for victim in ("ledger", "policy", "state", "actuators", "orchestrator", "gateway"):
        restarts = provost.restarts_of(victim)
        os.kill(provost.run_json()["pids"][victim], signal.SIGTERM)
        await callers.more(callers.at_once + 1, 60)
        await asyncio.to_thread(provost.until_restarted, victim, restarts)
        assert (callers.cut_off, callers.turned_away) == ([], []), f"while {victim} stopped"
    callers.finish()
    await asking
    assert callers.unexpected == []
    check(await everything(nats_url(provost)), callers.acknowledged)
