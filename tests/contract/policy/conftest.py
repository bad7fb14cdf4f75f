"""Every test of the contract runs against both identities: one needs nothing, one is AppRole in a real OpenBao."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis import process
from chassis.vault.client import Vault
from services.policy.adapters.identity import HashedIdentity
from services.policy.adapters.identity_vault import AppRoleIdentity
from tests.contract.policy.desk import Desk
from tests.fakes.bao_server import BaoServer, bao_server

__all__ = ["bao_server"]


@pytest_asyncio.fixture(params=["hashed", "approle"])
async def desk(request: pytest.FixtureRequest, bao_server: BaoServer) -> AsyncIterator[Desk]:
    if request.param == "hashed":
        yield Desk(HashedIdentity(process.new_secret))
        return
    async for each in desk_over(bao_server):
        yield each


@pytest_asyncio.fixture
async def vaulted(bao_server: BaoServer) -> AsyncIterator[Desk]:
    """The one over OpenBao alone."""
    async for each in desk_over(bao_server):
        yield each


async def desk_over(server: BaoServer) -> AsyncIterator[Desk]:
    await server.bootstrap()
    vault: Vault = server.as_service("policy")
    await vault.start()
    yield Desk(AppRoleIdentity(vault))
    await vault.stop()
