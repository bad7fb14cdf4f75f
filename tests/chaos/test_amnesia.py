"""Faults 3 and 8: store and ledger are wiped while all is running, and rebuilt equal from the log, by one command."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.callers import Callers
from tests.e2e.embedded.embedded import REPOSITORY, Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def provost(tmp_path: Path) -> Iterator[Embedded]:
    given = Embedded(tmp_path / "home", RATE_LIMIT_REQUESTS="0")
    given.start()
    yield given
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


def drill(provost: Embedded) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chassis.embedded", "--amnesia"]
    return subprocess.run(
        command,
        env=provost.environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


async def runs(provost: Embedded, count: int) -> None:
    callers = Callers(provost.run_json()["http"], provost.key("operator"))
    asking = asyncio.create_task(callers.ask())
    await callers.more(count, 60)
    callers.finish()
    await asking
    assert callers.unexpected == []


async def test_wiped_and_rebuilt_it_is_equal(provost: Embedded) -> None:
    await runs(provost, 8)
    pids = provost.run_json()["pids"]
    database = (provost.home / "ledger" / "ledger.db").stat().st_ino
    done = await asyncio.to_thread(drill, provost)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "EQUAL: nothing was lost by it." in done.stdout
    now = provost.run_json()["pids"]
    assert {name for name in pids if now[name] != pids[name]} == {"ledger", "state"}
    assert (provost.home / "ledger" / "ledger.db").stat().st_ino != database
    roots = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("  ledger ")]
    assert len(roots) == 2
    assert roots[0] == roots[1]
    await runs(provost, 4)  # and it goes on
    provost.stop()
    # With nothing running it starts everything for the drill alone.
    done = await asyncio.to_thread(drill, provost)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not provost.processes()
