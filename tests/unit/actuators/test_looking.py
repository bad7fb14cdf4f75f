"""What actuators look at holds nobody else up, and what they start does not outlive them."""

import asyncio
import threading
from pathlib import Path

import pytest

from services.orchestrator.actuators.actuator import Finding, Offer
from services.orchestrator.actuators.command import run
from services.orchestrator.actuators.diagnostics import Reading, disk
from services.orchestrator.domain.records import Tier
from tests.fakes.wait import until
from tests.unit.actuators.test_hands import ACTION


async def test_a_reading_that_takes_long_holds_nobody_up() -> None:
    asked, answered = threading.Event(), threading.Event()

    def read() -> Finding:
        asked.set()
        return Finding(str(answered.wait(10)), "")

    reading = Reading(Offer("test.read", Tier.T0_OBSERVER, "reads", read_only=True), "it", read)
    doing = asyncio.create_task(reading.perform(ACTION))
    await until(asked.is_set, "it was never read")
    answered.set()
    assert (await doing).summary == "True", "others came to nothing while it was read"


def test_a_file_system_of_another_machine_is_not_asked_about(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/own {tmp_path} ext4 rw 0 0\nserver:/x / nfs4 rw 0 0\n")
    assert disk(mounts).output.startswith(f"{tmp_path} ")
    assert "\n" not in disk(mounts).output
    mounts.write_text("server:/x / nfs4 rw 0 0\n")
    with pytest.raises(ValueError, match="no file system"):
        disk(mounts)


@pytest.mark.parametrize("how", ["", "setsid"], ids=["group", "session"])
async def test_what_a_program_leaves_behind_is_ended(tmp_path: Path, how: str) -> None:
    pid_file = tmp_path / "pid"
    begun = "until grep -q sleep /proc/$!/comm; do :; done"
    await run(["sh", "-c", f"{how} sleep 600 >/dev/null 2>&1 & echo $! > {pid_file}; {begun}"], 60.0)
    stat = Path("/proc") / pid_file.read_text().strip() / "stat"
    await until(lambda: not stat.exists() or ") Z " in stat.read_text(), "it lives on")
