"""What the revoked still have elsewhere: whom it cannot be taken from yet keeps nobody else's."""

from types import SimpleNamespace
from typing import Any, cast

from kernel.faults import Unavailable
from services.policy.domain.agent import Agent
from services.policy.handlers.endings import Endings


class Outside:
    """Ends whatever it is not told to refuse."""

    surface = "vault"

    def __init__(self) -> None:
        self.refuses = {"a"}
        self.ended: list[str] = []

    async def end(self, _tenant: str, agent: Agent) -> int:
        if agent.agent_id in self.refuses:
            raise Unavailable("VAULT_UNREACHABLE", f"not {agent.agent_id}")
        self.ended.append(agent.agent_id)
        return 1


async def test_one_that_is_refused_blocks_nobody_behind_it() -> None:
    outside = Outside()
    agents = SimpleNamespace(current=lambda _tenant, agent_id: Agent(agent_id))
    endings = Endings(cast(Any, agents), cast(Any, outside))
    names = {f"{n}" for n in range(20)}
    endings._owed.update(("default", each) for each in {"a", *names})
    assert await endings.settle() == 1
    assert set(outside.ended) == names
    outside.refuses.clear()
    assert await endings.settle() == 0
    assert outside.ended[-1] == "a"
