"""Agents' secrets without a Vault: random ones, of which the log keeps a salted hash and nothing else is kept."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from services.policy.domain import secret
from services.policy.domain.agent import Agent
from services.policy.domain.faults import CredentialsRefused
from services.policy.ports import Secrets
from services.policy.ports.identity import Identity, Made, Shown

if TYPE_CHECKING:
    from chassis.vault.client import Vault

NO_SECRET = secret.hashed("", "none")


def identity_over(vault: "Vault | None", new_secret: Secrets) -> Identity:
    """Agents' secrets in Vault if there is one, else the built-in ones."""
    if vault is None:
        return HashedIdentity(new_secret)
    from services.policy.adapters.identity_vault import AppRoleIdentity

    return AppRoleIdentity(vault)


class HashedIdentity:
    """Implements `ports.Identity`. All that an agent has stands in the log: there is nothing to end outside."""

    surface = ""

    def __init__(self, new_secret: Secrets) -> None:
        self._new_secret = new_secret

    async def new_secret(self, tenant: str, agent: Agent) -> Made:
        secret_id = self._new_secret(32)
        return Made(secret_id, secret.hashed(secret_id, self._new_secret(16)))

    async def wrap(self, tenant: str, agent: Agent, seconds: int) -> str:
        """The log keeps the token's hash and how long it is good; there is no secret before it is shown."""
        return self._new_secret(32)

    async def unwrap(self, tenant: str, agent: Agent, token: str) -> Made:
        return await self.new_secret(tenant, agent)

    async def shown(self, tenant: str, agent: Agent, secret_id: str, ttl_seconds: int) -> Shown:
        # Each is compared, whatever came out before: the time taken tells nothing.
        compared = agent.secret_hashes or (NO_SECRET,)
        right = [kept for kept in compared if secret.matches(secret_id, kept) and kept is not NO_SECRET]
        if not right:
            raise CredentialsRefused
        return Shown(right[-1])

    async def forget(
        self, tenant: str, agent: Agent, kept: Collection[str], accessors: Collection[str]
    ) -> None:
        """Nothing: the log has forgotten them already."""

    async def lower(self, tenant: str, agent: Agent) -> None:
        """Nothing: the log says what it may."""

    async def end(self, tenant: str, agent: Agent) -> int:
        return 0
