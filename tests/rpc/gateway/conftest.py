"""A gRPC front before real services."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import grpc.aio
import pytest_asyncio

from chassis.rpc import LARGE_MESSAGES
from chassis.rpc.server import Server
from services.gateway.adapters.peers import PassThrough, Peer, peers_at
from services.gateway.handlers.places import LargePlaces
from services.gateway.rpc.server import front_server
from tests.fakes.doors import OPERATOR, House
from tests.fakes.peers import INTERNAL_KEY, Peers, settings
from tests.fakes.process import free_port

PATIENCE_SECONDS = 1.0
Pairs = Sequence[tuple[str, str]]


@dataclass
class Front:
    """A channel to the front, and what stands before and behind it."""

    channel: grpc.aio.Channel
    house: House
    peers: Peers
    server: Server
    large: LargePlaces
    behind: Mapping[str, Peer]


def as_(key: str, *more: tuple[str, str]) -> Pairs:
    """Metadata with an API key."""
    return (("x-api-key", key), *more)


AS_OPERATOR = as_(OPERATOR)


@pytest_asyncio.fixture
async def front() -> AsyncIterator[Front]:
    house = House()
    async with Peers() as behind:
        found = peers_at({**behind.addresses, "state": f"127.0.0.1:{free_port()}"}, INTERNAL_KEY)
        patient = {
            name: Peer(name, peer.channel, patience_seconds=PATIENCE_SECONDS) for name, peer in found.items()
        }
        large = LargePlaces()
        server = front_server(settings(gateway_port=free_port()), house.gateway, PassThrough(patient), large)
        await server.start()
        await server.set_serving(True)
        options = [
            ("grpc.max_receive_message_length", LARGE_MESSAGES),
            ("grpc.max_send_message_length", 2 * LARGE_MESSAGES),
            ("grpc.enable_retries", 0),
        ]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            yield Front(channel, house, behind, server, large, patient)
        await server.stop()
        for peer in found.values():
            await peer.channel.close()
