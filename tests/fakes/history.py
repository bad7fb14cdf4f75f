"""The ledger's history behind the gateway's door: events in a list, watched to their end and then some."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kernel.faults import Exhausted, Invalid, NotFound
from services.gateway.domain.callers import Caller
from services.gateway.domain.history import (
    ApprovalRecord,
    ApprovalRecordFilter,
    Chain,
    Promotion,
    PromotionFilter,
    Step,
    Violation,
    ViolationFilter,
    Watched,
    WatchFrom,
)
from services.gateway.domain.records import Event, EventFilter, Listing, Page

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def event_of(sequence: int) -> Event:
    subject = "evt.default.orchestrator.run.run-1.RunStarted"
    return Event(
        sequence,
        sequence - 1,
        f"id-{sequence}",
        subject,
        "RunStarted",
        "key:x",
        "run-1",
        "",
        AT,
        {},
        "aa" * 32,
    )


@dataclass
class FakeHistory:
    """Ten events, given out four at a time; the watch then breaks off, as one that is not read does."""

    asked: list[Any] = field(default_factory=list)
    kept: list[Event] = field(default_factory=lambda: [event_of(n) for n in range(1, 11)])

    async def violations(self, wanted: ViolationFilter, page: Page, caller: Caller) -> Listing[Violation]:
        self.asked.append((wanted, page))
        return Listing((Violation(7, "id-7", AT, "sre-1", "run-1", "t", "FORBIDDEN", "tried it"),), "more")

    async def promotions(self, wanted: PromotionFilter, page: Page, caller: Caller) -> Listing[Promotion]:
        self.asked.append((wanted, page))
        row = Promotion(1, "id-1", AT, "sre-1", "", "T1_OPERATOR", "REGISTERED", "key:admin")
        return Listing((row,), "")

    async def approval_records(
        self, wanted: ApprovalRecordFilter, page: Page, caller: Caller
    ) -> Listing[ApprovalRecord]:
        self.asked.append((wanted, page))
        row = ApprovalRecord(
            3, "ap-1", "USED", AT, AT, AT, AT, "sre-1", "run-1", "t", "ansible.check", "web-1", "sha256:00",
            "key:alice", "to be sure", "key:bob", "go on", "d1",
        )  # fmt: skip
        return Listing((row,), "")

    async def event(self, event_id: str, caller: Caller) -> Event:
        for each in self.kept:
            if each.event_id == event_id:
                return each
        raise NotFound("EVENT_UNKNOWN", f"no event {event_id}", event_id=event_id)

    async def causes(self, event_id: str, effect_id: str, caller: Caller) -> Chain:
        self.asked.append((event_id, effect_id))
        first = replace(self.kept[0], event_type="RunStarted")
        return Chain((Step("key:alice started a run", 0, first),), incomplete=False)

    async def replay(self, run_id: str, page: Page, caller: Caller) -> Listing[Step]:
        self.asked.append((run_id, page))
        steps = tuple(Step(f"step {each.sequence}", each.sequence - 1, each) for each in self.kept[:2])
        return Listing(steps, "more")

    async def watch(
        self, events: EventFilter, begin: WatchFrom, caller: Caller
    ) -> AsyncGenerator[Watched, None]:
        self.asked.append((events, begin))
        if begin.cursor and not begin.cursor.startswith("c"):
            raise Invalid("CURSOR_INVALID", "no cursor of this watch", field="cursor")
        at = int(begin.cursor[1:]) if begin.cursor else 0 if begin.from_start else len(self.kept)
        last = self.kept[-1].sequence
        yield Watched((), f"c{at}", last)
        while at < len(self.kept):
            some = tuple(self.kept[at : at + 4])
            at += len(some)
            yield Watched(some, f"c{at}", last)
        raise Exhausted("WATCH_TOO_SLOW", "nothing was read for too long", cursor=f"c{at}")
