"""Whose tier could not be looked at is looked at again, if that may be otherwise then."""

import asyncio

import pytest

from kernel.faults import Unavailable
from services.policy.reactor import keeping
from services.policy.reactor.records import HeldRecords
from services.policy.wire import CODEC


@pytest.mark.parametrize(("reason", "looks"), [("LOG_UNREACHABLE", 2), ("UNREADABLE_EVENT", 1)])
async def test_what_cannot_be_read_is_not_looked_at_again(
    reason: str, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.0)
    records, looked, over = HeldRecords(CODEC), list[str](), asyncio.Event()
    records.touch("default", "a")

    async def settle(tenant: str, agent_id: str) -> None:
        looked.append(agent_id)
        if looked.count(agent_id) == 1:
            records.touch(
                tenant, chr(ord(agent_id) + 1)
            )  # in the next round, with whoever is looked at again
        if looked == ["a"]:
            raise Unavailable(reason, "not now")
        if agent_id == "c":
            over.set()

    task = asyncio.create_task(keeping.keep_trust(records, settle))
    await over.wait()
    task.cancel()
    assert looked.count("a") == looks
