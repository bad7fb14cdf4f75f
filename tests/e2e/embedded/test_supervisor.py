"""The supervisor with children that can be made to misbehave."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chassis.embedded.children import Program
from chassis.embedded.supervisor import StartFailed, Supervisor
from tests.e2e.embedded.dummy import program

WAIT_SECONDS = 15.0


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until(fact: Callable[[], bool], what: str) -> None:
    """Wait for `fact`."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while not fact():
        assert asyncio.get_running_loop().time() < deadline, f"still not: {what}"
        await asyncio.sleep(0.02)


def pid_of(place: Path, name: str, kind: str = "pid") -> int:
    return int((place / f"{name}.{kind}").read_text())


class Run:
    """A supervisor under test, and what it has said."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.said: list[str] = []
        self.supervisors: list[Supervisor] = []

    def of(self, *waves: list[Program], ready_seconds: float = WAIT_SECONDS) -> Supervisor:
        made = Supervisor(waves, self.place, self.said.append, ready_seconds=ready_seconds)
        self.supervisors.append(made)
        return made


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    given = Run(tmp_path)
    yield given
    for supervisor in given.supervisors:
        await supervisor.stop()


async def test_waves_start_in_order_and_stop_in_the_reverse(run: Run) -> None:
    place = run.place
    supervisor = run.of([program(place, "a"), program(place, "b")], [program(place, "c")])
    await supervisor.start()
    pids = supervisor.pids()
    assert list(pids) == ["a", "b", "c"]
    assert all(alive(pid) for pid in pids.values())
    ready = [line.split()[0] for line in run.said if " ready " in line]
    assert sorted(ready[:2]) == ["a", "b"]
    assert ready[2] == "c"
    await supervisor.stop()
    assert (place / "stopped").read_text().split() == ["c", "b", "a"]
    assert not any(alive(pid) for pid in pids.values())
    assert supervisor.pids() == {}


async def test_a_child_that_dies_is_started_again_and_said_so(run: Run) -> None:
    supervisor = run.of([program(run.place, "a"), program(run.place, "b", "parent")])
    changes: list[dict[str, int]] = []
    supervisor.changed = lambda: changes.append(supervisor.pids())
    await supervisor.start()
    first, helper, other = pid_of(run.place, "b"), pid_of(run.place, "b", "helper"), pid_of(run.place, "a")
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid_of(run.place, "b") != first, "b runs again")
    await until(lambda: any("b is ready again" in line for line in run.said), "that b is ready is said")
    assert any("b ended: killed by SIGKILL; it said: hello from b" in line for line in run.said), run.said
    await until(lambda: not alive(helper), "the helper of the dead one is gone")
    assert pid_of(run.place, "a") == other
    assert changes == [supervisor.pids()]
    assert supervisor.pids()["b"] == pid_of(run.place, "b")


async def test_one_that_keeps_dying_is_tried_less_and_less_often(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    supervisor = run.of([program(run.place, "a")])
    await supervisor.start()
    (child,) = supervisor.children
    child.program = program(run.place, "a", "broken")
    monkeypatch.setattr("chassis.embedded.supervisor.asyncio.sleep", note)
    os.kill(pid_of(run.place, "a"), signal.SIGKILL)
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while len(pauses) < 8:
        assert asyncio.get_running_loop().time() < deadline, pauses
        await sleep(0.02)
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert any("a ended: exit code 3; it said: cannot find my hat" in line for line in run.said), run.said


async def test_a_child_that_cannot_start_is_shown_with_its_last_words(run: Run) -> None:
    supervisor = run.of([program(run.place, "a"), program(run.place, "b", "broken")])
    with pytest.raises(StartFailed) as failed:
        await supervisor.start()
    assert "b did not start: exit code 3" in str(failed.value)
    assert "cannot find my hat" in str(failed.value)
    assert str(run.place / "b.log") in str(failed.value)
    assert sum("b " in line and "trying again" in line for line in run.said) == 2


async def test_a_child_that_is_never_ready_fails_the_start(run: Run) -> None:
    good = program(run.place, "a")

    async def never() -> bool:
        return False

    slow = type(good)(good.name, good.command, never, good.environment)
    with pytest.raises(StartFailed, match=r"a did not start: not ready after 0\.2 s"):
        await run.of([slow], ready_seconds=0.2).start()


async def test_a_program_that_does_not_exist_fails_the_start(run: Run) -> None:
    good = program(run.place, "a")
    missing = type(good)("a", ("/nowhere/to/be/found",), good.ready, good.environment)
    with pytest.raises(StartFailed, match="could not be started"):
        await run.of([missing]).start()


async def test_the_stubborn_are_killed_with_what_they_started(run: Run) -> None:
    supervisor = run.of([program(run.place, "a", "stubborn", "parent", stop_seconds=0.2)])
    await supervisor.start()
    helper, pid = pid_of(run.place, "a", "helper"), pid_of(run.place, "a")
    await supervisor.stop()
    assert not alive(pid)
    await until(lambda: not alive(helper), "its helper is gone")


async def test_logs_do_not_grow_for_ever(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.embedded.children.KEPT_LOG_BYTES", 10)
    (run.place / "a.log").write_text("from an earlier run\n")
    await run.of([program(run.place, "a")]).start()
    assert (run.place / "a.log.1").read_text() == "from an earlier run\n"
    assert (run.place / "a.log").read_text() == "hello from a\n"


async def supervised(place: Path) -> tuple[asyncio.subprocess.Process, list[int]]:
    """A supervisor in a process of its own, and the pids of its children."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.e2e.embedded.dummy",
        str(place),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"READY"):
            return process, [int(pid) for pid in line.split()[1:]]
    raise AssertionError(f"it did not start: exit code {await process.wait()}")


async def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    process, pids = await supervised(tmp_path)
    assert len(pids) == 3
    process.kill()
    await process.wait()
    await until(lambda: not any(alive(pid) for pid in pids), "all children are gone")
    assert not (tmp_path / "stopped").exists()
    os.kill(
        pid_of(tmp_path, "second", "helper"), signal.SIGKILL
    )  # what a child started is the child's to tie


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_asked_to_stop_it_stops_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process, pids = await supervised(tmp_path)
    os.killpg(process.pid, number)  # as a terminal does: to the whole foreground group
    assert await asyncio.wait_for(process.wait(), WAIT_SECONDS) == 0
    assert (tmp_path / "stopped").read_text().split() == ["third", "second", "first"]
    assert not any(alive(pid) for pid in pids)
    await until(lambda: not alive(pid_of(tmp_path, "second", "helper")), "the helper is gone")
