"""A gateway with fakes behind its doors, and a client of its REST side in the same process."""

from collections.abc import AsyncIterator
from functools import cache

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from services.gateway.handlers.places import LargePlaces
from services.gateway.web.app import build
from services.gateway.web.bodies import Bodies
from services.gateway.web.routes.about import About
from tests.fakes.doors import OPERATOR, House

ABOUT = About("0.1.0", "keys", 100, 60.0, True, 2, 0.7, False)


@cache
def _app() -> FastAPI:
    return build(House().gateway, ABOUT)


def client_of(house: House, key: str = OPERATOR) -> httpx2.AsyncClient:
    """A client of the one application, which stands before `house` from now on."""
    app = _app()
    app.state.gateway, app.state.bodies = house.gateway, Bodies(LargePlaces())
    transport = httpx2.ASGITransport(app)
    return httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers={"X-API-Key": key})


@pytest.fixture
def house() -> House:
    return House()


@pytest_asyncio.fixture
async def rest(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """Sends an operator's key unless told otherwise."""
    async with client_of(house) as client:
        yield client
