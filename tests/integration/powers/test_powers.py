"""Words of lost power: never before it is true, signed by who says them, and whoever says nothing is named."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chassis import process
from chassis.eventlog.follower import Follower
from chassis.eventlog.wire import Connection
from chassis.powers import hearing as hearings
from chassis.powers import words
from chassis.powers.announcing import ANNOUNCED, announce, announced, log_of
from chassis.signing import SigningKey, public_key
from kernel.events import Recorded
from tests.fakes.wait import until
from tests.integration.powers.conftest import LONG_AGO, Surface, World

SECONDS = 5.0


def free(held: int = 1) -> Surface:
    surface = Surface(held)
    surface.free.set()
    return surface


async def test_nothing_is_said_before_it_is_true(world: World) -> None:
    locks, runs = Surface(held=3), free(held=2)
    await world.holder("state", {"locks": locks, "runs": runs})
    await world.known("state")
    sequence = await world.revoke("a")
    await locks.asked.wait()
    heard = await world.hearing.collect("default", "a", sequence, 0.3)
    assert [each.surface for each in heard.words] == ["runs"], "a lock that is still held was said to be lost"
    assert [each.partition(":")[2] for each in heard.silent] == ["locks"]
    locks.free.set()
    heard = await world.hearing.collect("default", "a", sequence, SECONDS)
    assert {each.surface: each.ended for each in heard.words} == {"locks": 3, "runs": 2}
    assert not heard.silent
    late = next(each for each in heard.words if each.surface == "locks")
    assert late.powerless_ms >= 300, "the time until it was true was left out"


async def test_power_that_cannot_be_taken_yet_is_tried_for_again_and_nothing_is_said_meanwhile(
    world: World,
) -> None:
    vault = free()
    vault.fails = 3
    await world.holder("policy", {"vault": vault})
    await world.known("policy")
    sequence = await world.revoke("a")
    heard = await world.hearing.collect("default", "a", sequence, SECONDS)
    assert [(each.surface, each.ended) for each in heard.words] == [("vault", 1)]
    assert vault.fails == 0


async def test_what_cannot_be_read_takes_power_and_what_is_no_event_does_not(world: World) -> None:
    locks, taken = free(), list[str]()
    take = locks.take

    async def noted(tenant: str, agent_id: str) -> int:
        taken.append(agent_id)
        return await take(tenant, agent_id)

    locks.take = noted  # type: ignore[method-assign]
    await world.holder("state", {"locks": locks})
    for agent_id, header in (("a", b""), ("b", b"NATS/1.0\r\nce-type: provost.policy.v9.New\r\n\r\n")):
        subject = f"evt.default.policy.agent.{agent_id}.AgentRevoked"
        await world.connection.ask(subject, b"\xff", header=header)
    await until(lambda: bool(taken), "nothing was taken")
    assert taken == ["b"]


async def test_all_who_are_there_are_waited_for_and_no_longer(world: World) -> None:
    one = await world.holder("state", {"locks": free()})
    two = await world.holder("state", {"locks": free()}, port=7001)
    other = await world.holder("actuators", {"permits": free()})
    await world.known("state", "actuators")
    await until(lambda: len(world.hearing._here) == 3, "not all are there")
    await until(world.hearing._knows_everybody, "never knows everybody")
    sequence = await world.revoke("a")
    begun = process.monotonic()
    heard = await world.hearing.collect("default", "a", sequence, 10.0)
    assert process.monotonic() - begun < SECONDS
    assert {(each.service, each.replica) for each in heard.words} == {
        ("state", one.replica),
        ("state", two.replica),
        ("actuators", other.replica),
    }
    assert one.replica != two.replica


@pytest.mark.alone
async def test_with_nobody_there_nobody_is_waited_for(world: World) -> None:
    await until(world.hearing._knows_everybody, "never knows everybody")
    begun = process.monotonic()
    heard = await world.hearing.collect("default", "a", 1, 10.0)
    assert (heard.words, heard.silent) == ((), ())
    assert process.monotonic() - begun < 0.5


async def test_who_says_goodbye_is_not_waited_for(world: World) -> None:
    powers = await world.holder("state", {"locks": Surface()})
    await world.known("state")
    await powers.stop()
    await until(lambda: not world.hearing._here, "it is still there")
    heard = await world.hearing.collect("default", "a", 1, 2.0)
    assert heard.silent == ()


async def test_a_goodbye_that_is_not_its_own_hides_nobody(world: World, tmp_path: Path) -> None:
    powers = await world.holder("state", {"locks": Surface(), "writes": Surface()})
    own = SigningKey.load_or_create(tmp_path / "keys" / "state.pem")
    stranger = SigningKey.load_or_create(tmp_path / "stranger.pem")
    policys = SigningKey.load_or_create(tmp_path / "policys.pem")
    await announce(log_of(world.connection, "policy"), "policy", policys, process.now())
    await world.known("state")
    await until(lambda: ("policy", policys.kid) in world.hearing._keys, "the key is not known")
    world.hearing._gone.add("policy")
    at_us = int(process.now().timestamp() * 1e6)
    goodbye = words.Here("state", powers.replica, (), at_us + 1_000_000)
    for token in (
        "[]",
        "",
        "a.b.c",
        words.said_here(stranger, goodbye),
        words.said_here(policys, goodbye),  # announced, and another's
        _changed(words.said_here(own, replace(goodbye, surfaces=("locks",))), surfaces=[]),
        words.said_here(own, replace(goodbye, at_us=at_us - 60_000_000)),  # kept from its last stop
        words.said_here(own, replace(goodbye, at_us=at_us + 60_000_000)),  # of a clock that nobody shares
        words.said_here(own, replace(goodbye, replica="other")),
        words.said_here(own, replace(goodbye, surfaces=("locks",), at_us=at_us - 60_000_000)),
    ):
        world.connection.write(f"pwr.here.state.{powers.replica}", b"", b"", token.encode())
    heard = await world.hearing.collect("default", "a", 1, 0.5)
    assert heard.silent == (f"state/{powers.replica}:locks", f"state/{powers.replica}:writes")
    goodbye = replace(goodbye, at_us=int(process.now().timestamp() * 1e6) + 1_000_000)
    world.connection.write(
        f"pwr.here.state.{powers.replica}", b"", b"", words.said_here(own, goodbye).encode()
    )
    await until(lambda: "state" in world.hearing._gone, "its own goodbye does not count")


async def test_an_old_pair_of_words_hides_nobody_from_who_has_just_begun(
    world: World, tmp_path: Path
) -> None:
    key = SigningKey.load_or_create(tmp_path / "actuators.pem")
    await announce(log_of(world.connection, "actuators"), "actuators", key, process.now())
    await until(lambda: ("actuators", key.kid) in world.hearing._keys, "the key is not known")
    at_us = int((process.now() - LONG_AGO).timestamp() * 1e6)
    for surfaces in (("permits",), ()):
        at_us += 1
        token = words.said_here(key, words.Here("actuators", "r", surfaces, at_us))
        world.connection.write("pwr.here.actuators.r", b"", b"", token.encode())
    heard = await world.hearing.collect("default", "a", 1, 0.5)
    assert heard.silent == ("actuators/r:permits",)


@pytest.mark.alone
async def test_who_went_without_a_word_is_named_and_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(world.hearing._knows_everybody, "never knows everybody")
    world.hearing._here["state", "dead"] = hearings.Present(process.monotonic() - 10.0, ("locks",))
    begun = process.monotonic()
    heard = await world.hearing.collect("default", "a", 1, 10.0)
    assert process.monotonic() - begun < 1.0
    assert heard.silent == ("state/dead:locks",)
    monkeypatch.setattr(hearings, "NAMED_SECONDS", 5.0)
    assert (await world.hearing.collect("default", "a", 1, 10.0)).silent == ()


async def test_a_service_that_stands_still_since_before_somebody_listened_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SigningKey.load_or_create(tmp_path / "actuators.pem")
    await announce(log_of(world.connection, "actuators"), "actuators", key, process.now())
    await world.holder("state", {"locks": free()})
    await world.known("state")
    await until(lambda: len(world.hearing._keys) == 2, "not both keys are known")
    sequence = await world.revoke("a")
    heard = await world.hearing.collect("default", "a", sequence, 0.5)
    assert ([each.service for each in heard.words], heard.silent) == (["state"], ("actuators",))
    monkeypatch.setattr(hearings, "AWAITED_SECONDS", 0.0)
    begun = process.monotonic()
    await until(world.hearing._knows_everybody, "never knows everybody")
    assert (await world.hearing.collect("default", "a", sequence, 10.0)).silent == ("actuators",)
    assert process.monotonic() - begun < SECONDS
    monkeypatch.setattr(hearings, "NAMED_SECONDS", 0.0)
    assert (await world.hearing.collect("default", "a", sequence, 1.0)).silent == ()


async def test_what_was_revoked_before_it_began_is_taken_away_and_not_spoken_of(world: World) -> None:
    sequence = await world.revoke("old", process.now() - LONG_AGO)
    surface = free()
    await world.holder("state", {"locks": surface})
    await until(lambda: surface.held == 0, "the power of one who was revoked before is still there")
    await world.known("state")
    heard = await world.hearing.collect("default", "old", sequence, 0.3, again=True)
    assert heard.words == ()


async def test_what_was_said_before_somebody_listened_is_said_again(world: World) -> None:
    await world.holder("state", {"locks": free()})
    await world.known("state")
    sequence = await world.revoke("a")
    assert len((await world.hearing.collect("default", "a", sequence, SECONDS)).words) == 1
    world.hearing._said.clear()
    heard = await world.hearing.collect("default", "a", sequence, SECONDS, again=True)
    assert [each.surface for each in heard.words] == ["locks"]


async def test_a_word_that_is_not_signed_by_who_says_it_does_not_count(world: World, tmp_path: Path) -> None:
    powers = await world.holder("state", {"locks": Surface()})
    await world.known("state")
    sequence = await world.revoke("a")
    said = words.Word("default", "a", sequence, "locks", "state", powers.replica, 1.0, 1)
    stranger = SigningKey.load_or_create(tmp_path / "stranger.pem")
    policys = SigningKey.load_or_create(tmp_path / "policys.pem")
    await announce(log_of(world.connection, "policy"), "policy", policys, process.now())
    await until(lambda: ("policy", policys.kid) in world.hearing._keys, "the key is not known")
    own = SigningKey.load_or_create(tmp_path / "keys" / "state.pem")
    good = words.said(own, replace(said, ended=0), 0)
    for token in (
        words.said(stranger, said, 0),
        words.said(policys, said, 0),  # announced, and another's
        _changed(good, ended=99),
        good.rpartition(".")[0] + ".",
        "not a token",
        "a.b.c",
        "",
    ):
        world.connection.write("pwr.lost.default.a", b"", b"", token.encode())
    for about in (
        replace(said, agent_id="b"),
        replace(said, tenant="t"),
        replace(said, revocation_sequence=7),
    ):
        world.connection.write("pwr.lost.default.a", b"", b"", words.said(own, about, 0).encode())
    heard = await world.hearing.collect("default", "a", sequence, 0.5)
    assert heard.words == ()
    assert heard.silent == ("policy", f"state/{powers.replica}:locks")
    world.hearing._gone.add("policy")
    world.connection.write("pwr.lost.default.a", b"", b"", good.encode())
    heard = await world.hearing.collect("default", "a", sequence, SECONDS)
    assert [each.ended for each in heard.words] == [0]


async def test_a_key_is_announced_once(world: World, tmp_path: Path) -> None:
    key = SigningKey.load_or_create(tmp_path / "k.pem")
    log = log_of(world.connection, "state")
    await announce(log, "state", key, process.now())
    first = await log.last_sequence()
    await announce(log_of(world.connection, "state"), "state", key, process.now())
    assert await log.last_sequence() == first


async def test_a_key_counts_only_in_the_context_of_its_service(world: World, tmp_path: Path) -> None:
    key = SigningKey.load_or_create(tmp_path / "k.pem")
    await announce(log_of(world.connection, "state"), "state", key, process.now())
    (found,) = await _announcements(world.connection)
    assert announced(found) is not None
    for subject in (
        found.subject.replace(".state.", ".policy."),
        found.subject.replace("evt.default.", "evt.other."),
        found.subject.replace(key.kid, "another"),
    ):
        assert announced(replace(found, subject=subject)) is None, subject


def _changed(token: str, **claims: object) -> str:
    header, payload, signature = token.split(".")
    read = json.loads(urlsafe_b64decode(payload + "=="))
    text = urlsafe_b64encode(json.dumps(read | claims).encode()).rstrip(b"=").decode()
    return f"{header}.{text}.{signature}"


async def _announcements(connection: Connection) -> list[Recorded]:
    found: list[Recorded] = []

    async def take(events: Sequence[Recorded]) -> None:
        found.extend(events)

    follower = Follower(connection, (ANNOUNCED,), 0, take, "test")
    await follower.start()
    await follower.caught_up()
    await follower.stop()
    return found


def test_a_public_key_is_what_is_needed_to_read_a_word(tmp_path: Path) -> None:
    key = SigningKey.load_or_create(tmp_path / "k.pem")
    word = words.Word("default", "a", 7, "locks", "state", "r", 1.234, 1)
    token = words.said(key, word, 0)
    read = words.read(token.encode(), {("state", key.kid): public_key(key.public_jwk())})
    assert read == replace(word, token=token)
    with pytest.raises(words.WordRefused):
        words.read(token.encode(), {("orchestrator", key.kid): public_key(key.public_jwk())})
    with pytest.raises(words.WordRefused, match="figure"):
        words.read(
            words.said(key, replace(word, powerless_ms=-1.0), 0).encode(),
            {("state", key.kid): public_key(key.public_jwk())},
        )


async def test_asking_needs_no_connection(world: World) -> None:
    await world.connection.close()
    heard = await asyncio.wait_for(world.hearing.collect("default", "a", 1, 0.05, again=True), SECONDS)
    assert heard.words == ()
