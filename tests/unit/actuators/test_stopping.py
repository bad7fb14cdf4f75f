"""What is being done for a revoked agent is stopped, and only then said to be."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.faults import Denied, Unavailable
from services.orchestrator.actuators import command
from services.orchestrator.actuators.actuator import Finding, Offer
from services.orchestrator.actuators.command import run
from services.orchestrator.actuators.hands import Hands, Permit
from services.orchestrator.actuators.journal import Journal
from services.orchestrator.domain.records import Action, EffectState, Tier
from tests.fakes.wait import until
from tests.unit.actuators.test_hands import ACTION, PERMIT, Written

NOBODYS = 2**22 + 1
"""A process id that no Linux gives."""


class Sleeping:
    """Runs a real program that would take for ever, and tells its pid."""

    def __init__(self, pid_file: Path, *, read_only: bool) -> None:
        self.offer = Offer("test.act", Tier.T0_OBSERVER, "sleeps", read_only)
        self.pid_file = pid_file

    def unavailable(self) -> str:
        return ""

    def preview(self, action: Action) -> str:
        return "sleep"

    async def perform(self, action: Action) -> Finding:
        await run(["sh", "-c", f"echo $$ > {self.pid_file}; exec sleep 600"], 600.0)
        return Finding("slept", "")


class Clinging(Sleeping):
    """Does not let go at once when it is cancelled."""

    def __init__(self, pid_file: Path) -> None:
        super().__init__(pid_file, read_only=True)
        self.begun, self.free = asyncio.Event(), asyncio.Event()

    async def perform(self, action: Action) -> Finding:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await self.free.wait()
        return Finding("never", "")


def hands(tmp_path: Path, actuator: Sleeping, stale: Callable[[], float] = lambda: 0.0) -> Hands:
    permits = Written(good=PERMIT, others=Permit("d2", "digest:test.act", "acme", "r2", "t1", "sre-2", 6))
    journal = Journal(tmp_path / "journal.db")
    return Hands((actuator,), permits, journal, lambda name, *_: f"digest:{name}", lambda: 0.0, stale)


def begun(pid_file: Path) -> bool:
    return pid_file.exists() and pid_file.read_text() != ""


def alive(pid_file: Path) -> bool:
    return Path(f"/proc/{pid_file.read_text().strip()}").exists()


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_program_of_a_revoked_agent_is_gone_when_it_is_said_to_be(
    tmp_path: Path, read_only: bool
) -> None:
    pid_file = tmp_path / "pid"
    it = hands(tmp_path, Sleeping(pid_file, read_only=read_only))
    doing = asyncio.create_task(it.perform("acme", "e1", ACTION, "good"))
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()), "it was never begun")
    it.revoke("acme", "sre-1")
    assert await it.end("acme", "sre-1") == 1
    assert not alive(pid_file), "said to be gone, and still there"
    effect = await doing
    # What is not read-only may have changed something: nobody may take it for undone.
    wanted = (
        (EffectState.FAILED, "AGENT_REVOKED")
        if read_only
        else (EffectState.UNKNOWN, "EFFECT_OUTCOME_UNKNOWN")
    )
    assert (effect.state, effect.error_type) == wanted
    with pytest.raises(Denied):
        await it.perform("acme", "e2", ACTION, "good")
    assert await it.end("acme", "sre-1") == 0


async def test_nothing_is_said_while_an_action_still_goes_on(tmp_path: Path) -> None:
    actuator = Clinging(tmp_path / "pid")
    it = hands(tmp_path, actuator)
    doing = asyncio.create_task(it.perform("acme", "e1", ACTION, "good"))
    await actuator.begun.wait()
    it.revoke("acme", "sre-1")
    ending = asyncio.create_task(it.end("acme", "sre-1"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not ending.done(), "it was said to be over while it went on"
    actuator.free.set()
    assert await ending == 1
    doing.cancel()


async def test_others_go_on(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    it = hands(tmp_path, Sleeping(pid_file, read_only=True))
    doing = asyncio.create_task(it.perform("acme", "e1", ACTION, "others"))
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()), "it was never begun")
    it.revoke("acme", "sre-1")
    assert await it.end("acme", "sre-1") == 0
    assert alive(pid_file)
    it.revoke("acme", "sre-2")
    await it.end("acme", "sre-2")
    await doing


async def test_a_process_that_stops_calls_nobody_revoked(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    it = hands(tmp_path, Sleeping(pid_file, read_only=True))
    doing = asyncio.create_task(it.perform("acme", "e1", ACTION, "good"))
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()), "it was never begun")
    for working in list(it._at_work.values()):
        working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing
    assert Journal(tmp_path / "journal.db").read("e1") == (True, None)


async def test_a_revocation_that_was_not_heeded_is_not_spoken_of(tmp_path: Path) -> None:
    it = hands(tmp_path, Sleeping(tmp_path / "pid", read_only=True))
    with pytest.raises(RuntimeError):
        await it.end("acme", "sre-1")


@pytest.mark.parametrize("read_only", [True, False])
async def test_who_has_not_heard_of_revocations_for_long_stops_all(tmp_path: Path, read_only: bool) -> None:
    pid_file, stale = tmp_path / "pid", [0.0]
    it = hands(tmp_path, Sleeping(pid_file, read_only=read_only), lambda: stale[0])
    doing = asyncio.create_task(it.perform("acme", "e1", ACTION, "good"))
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()), "it was never begun")
    stale[0] = 4.9
    assert it.look()
    assert alive(pid_file)
    stale[0] = 5.1
    assert not it.look()
    assert not it.look(), "looking again cuts nothing short"
    if read_only:
        with pytest.raises(Unavailable) as caught:
            await doing
        assert caught.value.reason == "DECIDER_STALE"
    else:
        effect = await doing
        assert (effect.state, effect.error_type) == (EffectState.UNKNOWN, "EFFECT_OUTCOME_UNKNOWN")
    assert not alive(pid_file)
    # What only reads is done again when it can be; of what may have changed something it stays said.
    noted = Journal(tmp_path / "journal.db").read("e1")[1]
    assert (noted is None) == read_only


async def test_a_program_that_cannot_be_killed_holds_nobody_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def undying(fits: object) -> list[int]:
        looks.append(fits)
        return [NOBODYS]

    # A process in uninterruptible sleep cannot be made here: it is looked for, and is there each time.
    monkeypatch.setattr(command, "_marked", undying)
    monkeypatch.setattr(command, "_END_SECONDS", 0.2)
    ran = await run(["echo", "done"], 60.0)
    assert (ran.exit_code, ran.output) == (0, "done\n")
    assert len(looks) > 1, "it was not looked for again"


KILLED = """
import asyncio, sys
from services.orchestrator.actuators.command import run
asyncio.run(run(["sh", "-c", f"setsid sleep 600 & echo $! > {sys.argv[1]}; exec sleep 600"], 600.0))
"""


async def test_what_killed_actuators_have_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    orphans, own = tmp_path / "orphans", tmp_path / "own"
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(orphans))
    ours = asyncio.create_task(run(["sh", "-c", f"echo $$ > {own}; exec sleep 600"], 600.0))
    await until(lambda: begun(orphans) and begun(own), "none began")
    await command.end_left_behind()
    assert alive(orphans), "its actuators are still there"
    killed.kill()
    await killed.wait()
    await command.end_left_behind()
    await until(lambda: not alive(orphans), "it goes on")
    assert alive(own)
    ours.cancel()
    await asyncio.wait({ours})
