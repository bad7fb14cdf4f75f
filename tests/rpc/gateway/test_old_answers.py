"""What state says of how old its answers may be is told on: over REST, by the client, and on the command line."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from provost_sdk import Provost, ProvostError, staleness
from provost_sdk.cli.app import app
from provost_sdk.sync import Client
from services.gateway.adapters.peers import PassThrough, Peer, peers_at
from services.gateway.adapters.state import StatePeer
from services.gateway.domain.callers import Caller, Role
from services.gateway.domain.records import Page
from services.gateway.domain.sharing import MessageFilter
from services.gateway.rpc.server import front_server
from tests.fakes.doors import VIEWER, House
from tests.fakes.old_state import OldState, old_state
from tests.fakes.peers import INTERNAL_KEY, settings
from tests.fakes.process import free_port

SOMEBODY = Caller("default", "key:x", frozenset({Role.VIEWER}))
READS: dict[str, Callable[[StatePeer], Awaitable[Any]]] = {
    "tasks": lambda state: state.tasks(Page(), SOMEBODY),
    "task": lambda state: state.task("task-1", SOMEBODY),
    "board": lambda state: state.board("task-1", "", Page(), SOMEBODY),
    "messages": lambda state: state.messages(MessageFilter("task-1"), Page(), SOMEBODY),
    "locks": lambda state: state.locks("", Page(), SOMEBODY),
    "stuck": lambda state: state.stuck("", Page(), SOMEBODY),
}
SAID = "As of 14 s ago: state cannot reach the event log; what has happened since is not shown.\n"


@pytest_asyncio.fixture
async def old() -> AsyncIterator[OldState]:
    async with old_state(settings()) as state:
        yield state


@pytest_asyncio.fixture
async def peer(old: OldState) -> AsyncIterator[Peer]:
    peers = peers_at({"state": f"127.0.0.1:{old.port}"}, INTERNAL_KEY)
    yield peers["state"]
    await peers["state"].channel.close()


@pytest_asyncio.fixture
async def address(peer: Peer) -> AsyncIterator[str]:
    """Of a gateway before that state."""
    server = front_server(settings(gateway_port=free_port()), House().gateway, PassThrough({"state": peer}))
    await server.start()
    await server.set_serving(True)
    yield f"127.0.0.1:{server.port}"
    await server.stop()


@pytest.mark.parametrize("read", READS)
async def test_every_read_of_rest_says_how_old_it_may_be(read: str, old: OldState, peer: Peer) -> None:
    assert (await READS[read](StatePeer(peer))).stale_seconds is None
    old.seconds = 14
    assert (await READS[read](StatePeer(peer))).stale_seconds == 14


async def test_the_client_says_how_old_the_oldest_answer_may_be(old: OldState, address: str) -> None:
    async with Provost(address, VIEWER) as provost:
        with staleness() as fresh:
            assert (await provost.get_agent_state("sre-1")).agent_id == "sre-1"
        old.seconds = 14
        with staleness() as several:
            await asyncio.gather(provost.get_task("task-1"), provost.get_agent_state("sre-1"))
            old.seconds = 6
            await provost.list_tasks()
            with staleness() as inner:
                await provost.list_locks()
        with pytest.raises(ProvostError) as caught, staleness() as refused:
            await provost.get_agent_state("nobody")
        old.seconds = None
        with pytest.raises(ProvostError) as sure:
            await provost.get_agent_state("nobody")
    assert (fresh.seconds, several.seconds, inner.seconds) == (0, 14, 6)
    assert (caught.value.reason, caught.value.stale_seconds, refused.seconds) == ("AGENT_STATE_UNKNOWN", 6, 6)
    assert sure.value.stale_seconds == 0


async def test_the_client_that_waits_says_it_too(old: OldState, address: str) -> None:
    old.seconds = 14

    def asked() -> int:
        with Client(address, VIEWER) as provost, staleness() as told:
            provost.list_tasks()
        return told.seconds

    assert await asyncio.to_thread(asked) == 14


@pytest.mark.parametrize("command", [("tasks",), ("tasks", "show", "task-1"), ("state", "show", "sre-1")])
async def test_the_command_line_says_it_before_anything_else(
    command: tuple[str, ...], old: OldState, address: str
) -> None:
    def invoked(*more: str) -> Any:
        return CliRunner().invoke(app, [*command, *more, "--address", address, "--key", VIEWER])

    fresh = await asyncio.to_thread(invoked)
    assert (fresh.exit_code, fresh.stderr) == (0, "")
    old.seconds = 14
    told = await asyncio.to_thread(invoked)
    assert (told.exit_code, told.stderr, told.stdout) == (0, SAID, fresh.stdout)
    for_programs = await asyncio.to_thread(invoked, "--json")
    assert (for_programs.stderr, bool(json.loads(for_programs.stdout))) == (SAID, True)


async def test_what_is_not_found_may_be_there_by_now(old: OldState, address: str) -> None:
    old.seconds = 14
    given = ["state", "show", "nobody", "--address", address, "--key", VIEWER]
    told = await asyncio.to_thread(CliRunner().invoke, app, given)
    assert told.exit_code == 1
    assert told.stderr == f"{SAID}nothing is known of it\n(AGENT_STATE_UNKNOWN)\n"
