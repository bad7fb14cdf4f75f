"""Agents' secrets: who makes them, and says which one was shown."""

from collections.abc import Collection
from typing import NamedTuple, Protocol

from services.policy.domain import agent


class Made(NamedTuple):
    """A secret that was just made: what is shown once, and what the log keeps of it."""

    secret_id: str
    kept: str


class Shown(NamedTuple):
    """Whose secret was shown: what the log keeps of it, and the accessor of a token that was given out for it."""

    kept: str
    accessor: str = ""


class Identity(Protocol):
    """Makes agents' secrets, and says which one was shown.

    Which of them are good is said by the log alone: a secret that it does not know, or knows no longer, opens nothing.
    All raise Unavailable (`VAULT_UNREACHABLE`) when what they rest on cannot be reached: then nobody gets anything.
    """

    @property
    def surface(self) -> str:
        """Where power of agents lies outside of the log, as `vault`; empty: nowhere."""
        ...

    async def new_secret(self, tenant: str, agent: agent.Agent) -> Made:
        """Another secret of the agent. Not safe to repeat: each call makes one."""
        ...

    async def wrap(self, tenant: str, agent: agent.Agent, seconds: int) -> str:
        """What stands for one secret of the agent, once, for so long."""
        ...

    async def unwrap(self, tenant: str, agent: agent.Agent, token: str) -> Made:
        """The secret that `token`, which the log knows, stands for.

        Raises:
            WrappingTokenInvalid: it stands for nothing, or no longer.
        """
        ...

    async def shown(self, tenant: str, agent: agent.Agent, secret_id: str, ttl_seconds: int) -> Shown:
        """Which of the agent's secrets this is. Takes as long for an agent that there is not.

        Raises:
            CredentialsRefused: none of them.
        """
        ...

    async def forget(
        self, tenant: str, agent: agent.Agent, kept: Collection[str], accessors: Collection[str]
    ) -> None:
        """Take these away outside, too: nobody can use them any more. Raises nothing: what
        cannot be reached runs out by itself."""
        ...

    async def lower(self, tenant: str, agent: agent.Agent) -> None:
        """What it was given outside is good for nothing any more; from now on it gets no more there than its standing
        allows: its tier's, and nothing while it is suspended. Safe to repeat; for an agent that is not revoked."""
        ...

    async def end(self, tenant: str, agent: agent.Agent) -> int:
        """Take all that the agent has outside away, for good; how many tokens those were. Safe to repeat."""
        ...
