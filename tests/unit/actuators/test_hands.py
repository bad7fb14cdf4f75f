"""The hands refuse without a permit, act once per effect, and never repeat blindly."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kernel.faults import Denied, Invalid, Unauthenticated, Unavailable
from services.orchestrator.actuators.actuator import ActuatorFailed, Finding, Offer
from services.orchestrator.actuators.ansible import AnsibleCheck
from services.orchestrator.actuators.command import run
from services.orchestrator.actuators.diagnostics import DIAGNOSTICS
from services.orchestrator.actuators.hands import Hands, Permit
from services.orchestrator.actuators.journal import Journal
from services.orchestrator.domain.records import Action, EffectState, Tier

ACTION = Action("a1", "test.act", "localhost", "sandbox", {})
PERMIT = Permit("d1", "digest:test.act", "acme", "r1", "t1", "sre-1", 5)


class Written:
    """Permits that are written down: any other text is none."""

    def __init__(self, **permits: Permit) -> None:
        self.permits = permits

    async def read(self, permit: str) -> Permit:
        if permit not in self.permits:
            raise Unauthenticated("PERMIT_INVALID", "no permit")
        return self.permits[permit]


class Counting:
    """Counts how often it was done; waits for `gate` when there is one."""

    def __init__(self, read_only: bool = False, fails: bool = False) -> None:
        self.offer = Offer("test.act", Tier.T0_OBSERVER, "counts", read_only)
        self.done = 0
        self.fails = fails
        self.gate: asyncio.Event | None = None

    def unavailable(self) -> str:
        return ""

    def preview(self, action: Action) -> str:
        return "count"

    async def perform(self, action: Action) -> Finding:
        self.done += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise ActuatorFailed("ACTUATOR_FAILED", "broken", "out\x1b[31mput")
        return Finding(f"counted {self.done}", "x" * 10_000)


def hands(
    tmp_path: Path, actuator: Counting, stale: Callable[[], float] | None = None, **permits: Permit
) -> Hands:
    journal = Journal(tmp_path / "journal.db")
    return Hands(
        (actuator,),
        Written(**(permits or {"good": PERMIT})),
        journal,
        lambda name, *_: f"digest:{name}",
        lambda: 0.0,
        stale or (lambda: 0.0),
    )


async def test_without_a_permit_nothing_is_done(tmp_path: Path) -> None:
    actuator = Counting()
    it = hands(tmp_path, actuator, good=PERMIT, other=Permit("d", "digest:other", "acme", "r", "t", "a", 5))
    with pytest.raises(Unauthenticated):
        await it.perform("acme", "e1", ACTION, "")
    with pytest.raises(Denied) as other_action:
        await it.perform("acme", "e1", ACTION, "other")
    with pytest.raises(Denied) as other_tenant:
        await it.perform("rival", "e1", ACTION, "good")
    assert {other_action.value.reason, other_tenant.value.reason} == {"PERMIT_MISMATCH"}
    assert actuator.done == 0


async def test_an_effect_is_done_once(tmp_path: Path) -> None:
    actuator = Counting()
    it = hands(tmp_path, actuator)
    first = await it.perform("acme", "e1", ACTION, "good")
    again = await it.perform("acme", "e1", ACTION, "good")
    assert first == again
    assert first.state is EffectState.SUCCEEDED
    assert actuator.done == 1
    assert len(first.output) == 8192
    restarted = hands(tmp_path, actuator)
    assert await restarted.perform("acme", "e1", ACTION, "good") == first
    assert actuator.done == 1


async def test_a_permit_is_good_for_one_effect(tmp_path: Path) -> None:
    actuator = Counting()
    it = hands(tmp_path, actuator)
    await it.perform("acme", "e1", ACTION, "good")
    with pytest.raises(Denied) as caught:
        await it.perform("acme", "e2", ACTION, "good")
    assert caught.value.reason == "PERMIT_MISMATCH"
    assert actuator.done == 1


async def test_two_who_ask_at_once_get_one_effect(tmp_path: Path) -> None:
    actuator = Counting()
    actuator.gate = asyncio.Event()
    it = hands(tmp_path, actuator)
    both = [asyncio.create_task(it.perform("acme", "e1", ACTION, "good")) for _ in range(2)]
    while actuator.done == 0:
        await asyncio.sleep(0)
    actuator.gate.set()
    one, other = await asyncio.gather(*both)
    assert one == other
    assert actuator.done == 1


@pytest.mark.parametrize(
    ("read_only", "state", "times"), [(False, EffectState.UNKNOWN, 0), (True, EffectState.SUCCEEDED, 1)]
)
async def test_an_effect_that_was_cut_off_is_not_blindly_repeated(
    tmp_path: Path, read_only: bool, state: EffectState, times: int
) -> None:
    Journal(tmp_path / "journal.db").begin("e1", "digest:test.act")
    actuator = Counting(read_only)
    effect = await hands(tmp_path, actuator).perform("acme", "e1", ACTION, "good")
    assert effect.state is state
    assert actuator.done == times


async def test_without_a_permit_is_told_what_came_of_it_and_no_more(tmp_path: Path) -> None:
    actuator = Counting()
    actuator.gate = asyncio.Event()
    it = hands(tmp_path, actuator)
    await untold(it)
    doing = asyncio.create_task(it.perform("acme", "e1", ACTION, "good"))
    while actuator.done == 0:
        await asyncio.sleep(0)
    asking = asyncio.create_task(it.outcome("e1", ACTION))
    actuator.gate.set()
    assert await asking == await doing == await hands(tmp_path, actuator).outcome("e1", ACTION)
    await untold(it, b"another key")
    assert actuator.done == 1


@pytest.mark.parametrize("read_only", [False, True])
async def test_what_was_cut_off_is_of_unknown_outcome_unless_it_may_be_done_again(
    tmp_path: Path, read_only: bool
) -> None:
    Journal(tmp_path / "journal.db").begin("e1", "digest:test.act")
    it = hands(tmp_path, Counting(read_only))
    if read_only:
        await untold(it)
    else:
        assert (await it.outcome("e1", ACTION)).error_type == "EFFECT_OUTCOME_UNKNOWN"


async def untold(it: Hands, key: bytes = b"") -> None:
    with pytest.raises(Unauthenticated) as caught:
        await it.outcome("e1", ACTION, key)
    assert caught.value.reason == "PERMIT_INVALID"


async def test_a_permit_under_an_older_lock_is_refused(tmp_path: Path) -> None:
    newer = Permit("d2", PERMIT.action_digest, "acme", "r1", "t1", "sre-1", 6)
    it = hands(tmp_path, Counting(), good=PERMIT, newer=newer)
    await it.perform("acme", "e1", ACTION, "newer")
    with pytest.raises(Denied) as caught:
        await it.perform("acme", "e2", ACTION, "good")
    assert caught.value.reason == "FENCING_TOKEN_STALE"


async def test_a_permit_that_is_refused_fences_nobody(tmp_path: Path) -> None:
    """Its token is its agent's own word: only one under which something is done is remembered."""
    actuator = Counting()
    highest = replace(PERMIT, fencing_token=2**63 - 1)
    spent = replace(highest, decision_id="d0")
    it = hands(tmp_path, actuator, good=PERMIT, first=replace(PERMIT, decision_id="d0"), spent=spent,
               huge=replace(PERMIT, decision_id="d3", fencing_token=2**64 - 1),
               other=replace(highest, decision_id="d4"), below=replace(PERMIT, fencing_token=-1))  # fmt: skip
    await it.perform("acme", "e0", ACTION, "first")
    with pytest.raises(Denied) as used:
        await it.perform("acme", "e1", ACTION, "spent")
    assert used.value.reason == "PERMIT_MISMATCH"
    for permit in ("huge", "below"):
        with pytest.raises(Unauthenticated) as odd:
            await it.perform("acme", "e1", ACTION, permit)
        assert odd.value.reason == "PERMIT_INVALID"
    Journal(tmp_path / "journal.db").begin("e4", "another")
    with pytest.raises(Denied):
        await it.perform("acme", "e4", ACTION, "other")
    assert (await it.perform("acme", "e1", ACTION, "good")).state is EffectState.SUCCEEDED


async def test_two_agents_at_one_task_do_not_fence_each_other(tmp_path: Path) -> None:
    other = Permit("d2", PERMIT.action_digest, "acme", "r2", "t1", "sre-2", 6)
    actuator = Counting()
    it = hands(tmp_path, actuator, good=PERMIT, other=other)
    await it.perform("acme", "e2", ACTION, "other")
    assert (await it.perform("acme", "e1", ACTION, "good")).state is EffectState.SUCCEEDED
    assert actuator.done == 2


async def test_an_effect_id_means_one_action(tmp_path: Path) -> None:
    another = replace(ACTION, target="127.0.0.1")
    permit = Permit("d2", "digest:test.act on 127.0.0.1", "acme", "r1", "t1", "sre-1", 5)
    journal = Journal(tmp_path / "journal.db")
    permits = Written(good=PERMIT, another=permit)

    def digest(name: str, target: str, environment: str, parameters: Mapping[str, str]) -> str:
        return f"digest:{name}" + ("" if target == "localhost" else f" on {target}")

    actuator = Counting()
    it = Hands((actuator,), permits, journal, digest, lambda: 0.0, lambda: 0.0)
    await it.perform("acme", "e1", ACTION, "good")
    with pytest.raises(Denied) as caught:
        await it.perform("acme", "e1", another, "another")
    assert caught.value.reason == "PERMIT_MISMATCH"
    assert actuator.done == 1


async def test_a_revoked_agent_has_no_hands(tmp_path: Path) -> None:
    actuator = Counting()
    it = hands(tmp_path, actuator)
    it.revoke("acme", "sre-1")
    with pytest.raises(Denied) as caught:
        await it.perform("acme", "e1", ACTION, "good")
    assert caught.value.reason == "AGENT_REVOKED"
    assert actuator.done == 0


async def test_who_does_not_hear_of_revocations_takes_no_permit(tmp_path: Path) -> None:
    actuator, stale = Counting(), [1.1]
    it = hands(tmp_path, actuator, lambda: stale[0])
    with pytest.raises(Unavailable) as caught:
        await it.perform("acme", "e1", ACTION, "good")
    assert (caught.value.reason, actuator.done) == ("DECIDER_STALE", 0)
    stale[0] = 0.9
    assert (await it.perform("acme", "e2", ACTION, "good")).state is EffectState.SUCCEEDED


async def test_a_failure_is_an_outcome_and_its_output_is_inert(tmp_path: Path) -> None:
    effect = await hands(tmp_path, Counting(fails=True)).perform("acme", "e1", ACTION, "good")
    assert effect.state is EffectState.FAILED
    assert effect.error_type == "ACTUATOR_FAILED"
    assert effect.output == "out\\x1b[31mput"


@pytest.mark.parametrize("said", ["connection refused", "", "E" * 129, "TIMEOUT\n", "é"])
async def test_a_type_that_nobody_could_count_is_told_in_the_text_of_the_failure(
    tmp_path: Path, said: str
) -> None:
    actuator = Counting()

    async def perform(action: Action) -> Finding:
        raise ActuatorFailed(said, "no answer from db")

    actuator.perform = perform  # type: ignore[method-assign]
    effect = await hands(tmp_path, actuator).perform("acme", "e1", ACTION, "good")
    assert effect.error_type == "ACTUATOR_FAILED"
    assert effect.error_message == (f"{said}: no answer from db" if said else "no answer from db")


@pytest.mark.parametrize(
    "action",
    [
        Action("a", "no.such", "localhost", "sandbox"),
        Action("a", "test.act", "db1.example", "sandbox"),
        Action("a", "test.act", "localhost", "sandbox", {"x": "1"}),
    ],
)
async def test_what_is_not_offered_is_refused(tmp_path: Path, action: Action) -> None:
    actuator = Counting()
    it = hands(tmp_path, actuator)
    with pytest.raises(Invalid):
        it.preview(action)
    with pytest.raises(Invalid):
        await it.perform("acme", "e1", action, "good")
    assert actuator.done == 0


@pytest.mark.parametrize("actuator", DIAGNOSTICS, ids=lambda each: each.offer.action)
async def test_diagnostics_really_look(actuator: object) -> None:
    offer = actuator.offer  # type: ignore[attr-defined]
    parameters = {"unit": "cron.service"} if "unit" in offer.parameters else {}
    found = await actuator.perform(Action("a", offer.action, "localhost", "sandbox", parameters))  # type: ignore[attr-defined]
    assert found.summary
    assert not found.changed


@pytest.mark.parametrize("unit", ["-h", "--version", "a b", "a;b", "$(x)", "../x", ""])
async def test_no_unit_name_becomes_an_option_or_a_command(tmp_path: Path, unit: str) -> None:
    it = Hands(DIAGNOSTICS, Written(), Journal(tmp_path / "j.db"), lambda *_: "", lambda: 0.0, lambda: 0.0)
    with pytest.raises(Invalid):
        it.preview(Action("a", "diagnostics.unit", "localhost", "sandbox", {"unit": unit}))


async def test_ansible_checks_and_changes_nothing(tmp_path: Path) -> None:
    check = AnsibleCheck()
    assert check.unavailable() == ""
    action = Action("a", "ansible.check", "localhost", "sandbox", {"play": "disk_space", "path": "/"})
    found = await check.perform(action)
    assert found.summary.startswith("disk_space:")
    assert "PLAY RECAP" in found.output
    assert not found.changed


@pytest.mark.parametrize(
    "parameters", [{"play": "../x"}, {"play": "disk_space", "path": "/a;b"}, {}, {"play": "x"}]
)
async def test_ansible_takes_named_plays_and_shaped_values_only(
    tmp_path: Path, parameters: dict[str, str]
) -> None:
    it = Hands(
        (AnsibleCheck(),), Written(), Journal(tmp_path / "j.db"), lambda *_: "", lambda: 0.0, lambda: 0.0
    )
    with pytest.raises(Invalid):
        it.preview(Action("a", "ansible.check", "localhost", "sandbox", parameters))


async def test_a_program_that_will_not_end_is_ended() -> None:
    with pytest.raises(ActuatorFailed) as caught:
        await run(["/bin/sh", "-c", "sleep 60 & wait"], timeout_seconds=0.2)
    assert caught.value.error_type == "ACTUATOR_TIMEOUT"


async def test_endless_output_is_cut() -> None:
    ran = await run(["/bin/sh", "-c", "head -c 3000000 /dev/zero"], timeout_seconds=20)
    assert ran.cut
    assert len(ran.output) == 256 * 1024
    assert ran.exit_code == 0


async def test_with_a_key_the_journal_shows_nothing_and_still_does_nothing_twice(tmp_path: Path) -> None:
    actuator = Counting()
    it, key = hands(tmp_path, actuator), b"\5" * 32
    first = await it.perform("acme", "e1", ACTION, "good", key)
    assert await it.perform("acme", "e1", ACTION, "good", key) == first
    assert await hands(tmp_path, actuator).perform("acme", "e1", ACTION, "good", key) == first
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert first.summary
    assert first.summary.encode() not in kept
    assert b"sha256:" not in kept, "nor a digest that guesses could be tried against"
