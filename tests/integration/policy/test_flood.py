"""Fault 33: a flood of denials from one key. Each is on record before it is answered, and they share their events."""

import asyncio
from itertools import count

from chassis.eventlog.jetstream import JetStreamLog
from chassis.eventlog.wire import Connection
from provost.policy.v1 import policy_pb2 as pb
from services.policy.wire import CODEC
from tests.integration.policy.conftest import PolicyProcess
from tests.integration.policy.test_crash import Caller, ask, put_packet, recorded

FLOOD, AT_ONCE = 2000, 64


async def test_fault_33_a_flood_of_denials_shares_its_events_and_loses_none(
    policy: PolicyProcess, events: Connection
) -> None:
    log = JetStreamLog(events, CODEC, "tests")
    async with policy.channel() as channel:
        caller = Caller(channel)
        register = pb.RegisterAgentRequest(agent_id="sre-1", tier=pb.TIER_T1_OPERATOR)
        await caller.call("RegisterAgent", register)
        sequence = await put_packet(events, "sre-1")
        await caller.call("Authorize", ask("first", sequence=sequence))
        before, numbers = await log.last_sequence(), count()
        answered: list[pb.Decision] = []

        async def flood() -> None:
            while (number := next(numbers)) < FLOOD:
                answered.append((await caller.call("Authorize", ask(f"f{number}", "rm.all"))).decision)

        await asyncio.gather(*(flood() for _ in range(AT_ONCE)))
        written = await log.last_sequence() - before
    assert {each.reason for each in answered} == {"ACTION_UNKNOWN"}
    kept = {each.decision_id for each in await recorded(events) if each.verdict == pb.VERDICT_DENY}
    assert len(kept) == FLOOD
    assert kept == {each.decision_id for each in answered}
    assert written < FLOOD / 2, f"{FLOOD} denials took {written} events"
