"""Refusals on their way into the log: folded, few, and none lost."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from chassis.eventlog.memory import MemoryLog
from kernel.events import Stream
from kernel.faults import Unavailable
from services.gateway.adapters import refusals
from services.gateway.adapters.refusals import RefusalLog
from services.gateway.domain.callers import Keyring, Role, parse_keys
from services.gateway.domain.refusals import AccessRefused, Refusal, fold
from services.gateway.wire.events import CODEC

AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = Stream("default", "gateway", "access", "r1")


def refusal(reason: str = "KEY_UNKNOWN", peer: str = "p", count: int = 1, second: int = 0) -> Refusal:
    at = AT + timedelta(seconds=second)
    return Refusal(reason, "", "m", peer, count, at, at)


def test_alike_ones_are_counted_together_with_first_and_last_time() -> None:
    folded = fold([refusal(second=5), refusal(peer="q", second=2), refusal(second=1, count=3)])
    assert [(each.peer, each.count) for each in folded] == [("p", 4), ("q", 1)]
    assert (folded[0].first_time, folded[0].last_time) == (
        AT + timedelta(seconds=1),
        AT + timedelta(seconds=5),
    )


async def recorded(log: MemoryLog, tenant: str = "default") -> list[Refusal]:
    found: list[Refusal] = []
    for each in await log.load(Stream(tenant, "gateway", "access", "r1")):
        event = CODEC.decode(each)
        assert isinstance(event, AccessRefused)
        found.extend(event.refusals)
    return found


def flood(kept: RefusalLog, n: int, tenant: str = "default") -> None:
    for i in range(n):
        kept.note(tenant, "RATE_LIMITED", "key:operator-1", "GET /api/runs", f"10.0.0.{i % 4}")


async def test_a_flood_becomes_few_events_and_every_attempt_is_counted() -> None:
    log = MemoryLog(CODEC)
    kept = RefusalLog(log, "r1")
    await kept.start()
    flood(kept, 5_000)
    flood(kept, 10, tenant="acme")
    await kept.stop()
    assert sum(each.count for each in await recorded(log)) == 5_000
    assert sum(each.count for each in await recorded(log, "acme")) == 10
    assert len(await log.load(STREAM)) == 1


async def test_what_is_noted_is_written_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "FLUSH_SECONDS", 0.01)
    log = MemoryLog(CODEC)
    kept = RefusalLog(log, "r1")
    await kept.start()
    for n in (1, 2):
        flood(kept, 1)
        async with asyncio.timeout(5):
            while len(await recorded(log)) < n:
                await asyncio.sleep(0.005)
    await kept.stop()
    assert len(await log.load(STREAM)) == 2


async def test_more_kinds_than_are_kept_apart_are_counted_all_the_same() -> None:
    log = MemoryLog(CODEC)
    kept = RefusalLog(log, "r1")
    for n in range(refusals.MAX_KINDS + 250):
        kept.note("default", "KEY_UNKNOWN", "", "m", f"peer-{n}")
    await kept.flush()
    found = await recorded(log)
    assert sum(each.count for each in found) == refusals.MAX_KINDS + 250
    assert {each.peer: each.count for each in found}["many"] == 250


async def test_refusals_are_counted_by_the_tenant_of_a_known_key() -> None:
    def counted(tenant: str) -> float:
        labels = {"reason": "RATE_LIMITED", "tenant": tenant}
        return REGISTRY.get_sample_value("provost_access_refused_total", labels) or 0.0

    keys = Keyring(parse_keys("operator@acme:a-key-of-sixteen-and-more", Role.OPERATOR))
    kept, before = RefusalLog(MemoryLog(CODEC), "r1", keys.shown), [*map(counted, ("acme", "other", ""))]
    flood(kept, 3, tenant="acme")
    flood(kept, 2, tenant="nobodys")
    for actor in ("", "key:none"):
        kept.note("acme", "RATE_LIMITED", actor, "m", "p")
    after = map(counted, ("acme", "other", ""))
    assert [now - was for now, was in zip(after, before, strict=True)] == [3, 2, 2]
    assert counted("nobodys") == 0


class LosesAnswers(MemoryLog):
    """Writes, and says that it did not, as often as `lies`."""

    lies = 0

    async def append(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        appended = await super().append(*args, **kwargs)
        if self.lies:
            self.lies -= 1
            raise Unavailable("LOG_UNREACHABLE", "no answer came")
        return appended


async def test_an_answer_that_got_lost_neither_loses_nor_doubles() -> None:
    log = LosesAnswers(CODEC)
    log.lies = 1
    kept = RefusalLog(log, "r1")
    flood(kept, 7)
    with pytest.raises(Unavailable):
        await kept.flush()
    flood(kept, 5)
    await kept.flush()
    assert sum(each.count for each in await recorded(log)) == 12
