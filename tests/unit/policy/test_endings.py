"""What the revoked still have elsewhere: whom it cannot be taken from yet keeps nobody else's."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernel.faults import Unavailable
from services.policy.domain.agent import Agent
from services.policy.domain.revocation import PowerLost, Receipt
from services.policy.handlers.endings import AT_ONCE, Endings
from tests.unit.policy.words import AT


class Outside:
    """Ends whatever it is not told to refuse."""

    surface = "vault"

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal or AssertionError("refuses nothing")
        self.refuses = {"a"} if refusal else set()
        self.now = self.most = 0
        self.ended: list[str] = []
        self.lowered: list[str] = []

    async def end(self, _tenant: str, agent: Agent) -> int:
        if agent.agent_id in self.refuses:
            raise self.refusal
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        self.ended.append(agent.agent_id)
        return 1

    async def lower(self, _tenant: str, agent: Agent) -> None:
        self.lowered.append(agent.agent_id)
        if agent.agent_id in self.refuses:
            raise self.refusal


def endings_over(outside: Outside, *known: Agent) -> Endings:
    agents = {each.agent_id: each for each in known}
    held = SimpleNamespace(
        current=lambda _tenant, agent_id: agents.get(agent_id, Agent(agent_id, fell_with=agent_id))
    )
    return Endings(cast(Any, held), cast(Any, outside))


@pytest.mark.parametrize("refusal", [Unavailable("VAULT_UNREACHABLE", "not now"), KeyError("agents/")])
async def test_one_that_is_refused_blocks_nobody_behind_it(refusal: Exception) -> None:
    outside = Outside(refusal)
    endings = endings_over(outside)
    names = {f"{n}" for n in range(20)}
    endings._owed.update(("default", each) for each in {"a", *names})
    assert await endings.settle() == 1
    assert set(outside.ended) == names
    outside.refuses.clear()
    assert await endings.settle() == 0
    assert outside.ended[-1] == "a"


async def test_who_is_said_to_be_ended_in_a_receipt_is_not_ended_again() -> None:
    outside = Outside()
    lost = PowerLost("vault", "policy", "other", 1.0, 1, "token")
    told = Receipt("told", 1, AT, (lost,), (), (), 1.0, "signed")
    silent = Receipt("silent", 1, AT, (), ("policy/other:vault",), (), 1.0, "signed")
    endings = endings_over(outside, Agent("told", receipt=told), Agent("silent", receipt=silent))
    assert await endings.end("default", "told") == 0
    assert await endings.end("default", "silent") == 1
    assert outside.ended == ["silent"]
    assert await endings.settle() == 0


async def test_however_many_there_are_outside_is_asked_a_few_at_a_time() -> None:
    outside = Outside()
    endings = endings_over(outside)
    await asyncio.gather(*(endings.end("default", f"{n}") for n in range(100)))
    assert (len(outside.ended), outside.most) == (100, AT_ONCE)


async def test_who_may_less_is_lowered_until_it_is_done_and_once() -> None:
    outside = Outside(Unavailable("VAULT_UNREACHABLE", "not now"))
    endings = endings_over(outside, Agent("a"), Agent("b"))
    endings.owe("default", "a")
    endings.owe("default", "b")
    assert await endings.settle() == 1
    outside.refuses.clear()
    assert [await endings.settle() for _ in range(2)] == [0, 0]
    assert (sorted(outside.lowered), outside.ended) == (["a", "a", "b"], [])
