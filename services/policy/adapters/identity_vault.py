"""Agents' secrets in Vault: one AppRole for each agent, of its tier; secrets wrapped by Vault; tokens by accessor.

The token that a login gives is forgotten at once: the agent works with Provost's. What is kept is its accessor, which
can take it away and grants nothing. What the log keeps of a secret is `vault:` and the accessor of the secret id: so
a secret that was made past policy opens nothing.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from chassis import telemetry
from chassis.vault.client import Refused, Vault
from kernel.faults import Unavailable
from services.policy.domain.agent import Agent
from services.policy.domain.faults import CredentialsRefused, WrappingTokenInvalid
from services.policy.domain.tier import up_to
from services.policy.ports.identity import Made, Shown

MOUNT = "agents"
KEPT = "vault:"
SHORTEST_TTL_SECONDS = 900
"""Of the tokens of a role that has not been logged in with: the first login says what its tier has."""
_NOBODY = "nobody.0"
_log = telemetry.get_logger("policy.identity")


class AppRoleIdentity:
    """Implements `ports.Identity`. `deploy/vault/policies/policy.hcl` is all that it may."""

    surface = "vault"

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def new_secret(self, tenant: str, agent: Agent) -> Made:
        role = await self._role(tenant, agent)
        made = (await self._vault.write(f"{role}/secret-id"))["data"]
        return Made(made["secret_id"], KEPT + made["secret_id_accessor"])

    async def wrap(self, tenant: str, agent: Agent, seconds: int) -> str:
        role = await self._role(tenant, agent)
        wrapped = await self._vault.write(f"{role}/secret-id", wrap_seconds=seconds)
        return str(wrapped["wrap_info"]["token"])

    async def unwrap(self, tenant: str, agent: Agent, token: str) -> Made:
        try:
            made = (await self._vault.write_as(token, "sys/wrapping/unwrap"))["data"]
        except Refused:
            raise WrappingTokenInvalid from None
        return Made(made["secret_id"], KEPT + made["secret_id_accessor"])

    async def shown(self, tenant: str, agent: Agent, secret_id: str, ttl_seconds: int) -> Shown:
        given = await self._login(agent, secret_id)
        if (given.get("token_policies") or []) != _policies(agent) or given["lease_duration"] != ttl_seconds:
            # It was made for another standing, or for another policy set.
            await self._take_away(given["accessor"])
            await self._write_role(tenant, agent, ttl_seconds)
            given = await self._login(agent, secret_id)
        found = await self._vault.write(f"{_path(tenant, agent)}/secret-id/lookup", {"secret_id": secret_id})
        if "data" not in found:
            await self._take_away(given["accessor"])
            raise CredentialsRefused
        return Shown(KEPT + found["data"]["secret_id_accessor"], given["accessor"])

    async def forget(
        self, tenant: str, agent: Agent, kept: Collection[str], accessors: Collection[str]
    ) -> None:
        role = _path(tenant, agent)
        secrets = [each.removeprefix(KEPT) for each in kept if each.startswith(KEPT)]
        try:
            for each in secrets:
                await self._destroy(role, each)
            for each in accessors:
                await self._take_away(each)
        except Unavailable as fault:
            # No session opens with them: the log knows them no longer.
            _log.warning("left to run out in Vault", agent_id=agent.agent_id, why=fault.text)

    async def lower(self, tenant: str, agent: Agent) -> None:
        """Whose entity is gone has no good token, whoever was given it; with the next login there is another entity."""
        if await self._vault.read(_path(tenant, agent)) is None:
            return  # nothing was ever given
        await self._write_role(tenant, agent)
        if entity := await self._entity(agent):
            await self._vault.delete(entity)
        await self._take_known(agent)

    async def end(self, tenant: str, agent: Agent) -> int:
        """First all at once by the entity, also tokens nobody here knows of; then what is known, one by one."""
        if entity := await self._entity(agent):
            await self._vault.write(entity, {"disabled": True})
        ended = await self._take_known(agent)
        await self._vault.delete(_path(tenant, agent))
        return ended

    async def _take_known(self, agent: Agent) -> int:
        known = {each.accessor for each in agent.sessions} - {""}
        return sum(await asyncio.gather(*(self._take_away(each) for each in known)))

    async def _role(self, tenant: str, agent: Agent) -> str:
        """The path of the agent's role, which is there."""
        if await self._vault.read(_path(tenant, agent)) is None:
            await self._write_role(tenant, agent)
        return _path(tenant, agent)

    async def _write_role(self, tenant: str, agent: Agent, ttl_seconds: int = SHORTEST_TTL_SECONDS) -> None:
        path = _path(tenant, agent)
        # What may be in here, and what these may be, is said by the policy of the service once more.
        await self._vault.write(
            path,
            {
                "token_policies": ",".join(_policies(agent)),
                "token_type": "service",
                "token_no_default_policy": True,
                "bind_secret_id": True,
                "token_ttl": ttl_seconds,
                "token_max_ttl": ttl_seconds,
            },
        )
        await self._vault.write(f"{path}/role-id", {"role_id": agent.role_id})

    async def _login(self, agent: Agent, secret_id: str) -> Mapping[str, Any]:
        shown = {"role_id": agent.role_id or _NOBODY, "secret_id": secret_id or "none"}
        try:
            auth: Mapping[str, Any] = (await self._vault.write_as("", f"auth/{MOUNT}/login", shown))["auth"]
        except Refused:
            raise CredentialsRefused from None
        return auth

    async def _destroy(self, role: str, accessor: str) -> None:
        try:
            await self._vault.write(f"{role}/secret-id-accessor/destroy", {"secret_id_accessor": accessor})
        except Refused:
            pass  # it is gone already

    async def _take_away(self, accessor: str) -> bool:
        """A token and everything that was lent to it; whether it was there."""
        try:
            answer = await self._vault.write("auth/token/revoke-accessor", {"accessor": accessor})
        except Refused:
            return False
        return not answer.get("warnings")

    async def _entity(self, agent: Agent) -> str:
        """The path of who Vault takes the agent for; empty: it has never logged in, or what it had is gone."""
        mounts = await self._vault.read("sys/auth") or {}
        mount = mounts["data"].get(f"{MOUNT}/")
        if mount is None:
            return ""
        alias = {"alias_name": agent.role_id, "alias_mount_accessor": mount["accessor"]}
        found = await self._vault.write("identity/lookup/entity", alias)
        return f"identity/entity/id/{found['data']['id']}" if "data" in found else ""


def _path(tenant: str, agent: Agent) -> str:
    """Where its role is. Vault does not tell capitals there; the role id's digits do."""
    return f"auth/{MOUNT}/role/agent.{tenant}.{agent.role_id}"


def _policies(agent: Agent) -> list[str]:
    """As `t1-operator`, and those of the tiers below; of the suspended none."""
    tiers = up_to(agent.tier) if agent.suspended is None else ()
    return [each.lower().replace("_", "-") for each in tiers]
