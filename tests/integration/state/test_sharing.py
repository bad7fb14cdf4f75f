"""What agents share, in a process that is killed and a store that is emptied."""

import asyncio
import json
from typing import Any

from chassis.eventlog.stream import read_at, stream_state
from kernel.faults import Conflict
from provost.state.v1 import state_pb2 as pb
from services.state.domain.board import EntryPut
from services.state.domain.inbox import MessageSent
from services.state.wire import CODEC
from tests.fakes.nats_server import NatsServer
from tests.integration.state.conftest import Real

AGENTS = ("alpha", "beta", "gamma")


async def put(real: Real, key: str, value: str, request_id: str = "", **fields: Any) -> pb.Entry:
    request = pb.PutEntryRequest(
        task_id="task-1", section="progress", key=key, value=value, agent_id="alpha", **fields
    )
    entry: pb.Entry = (await real.ask("PutEntry", request, request_id)).entry
    return entry


async def got(real: Real, key: str) -> pb.Entry:
    request = pb.GetEntryRequest(task_id="task-1", section="progress", key=key)
    entry: pb.Entry = (await real.ask("GetEntry", request)).entry
    return entry


async def send(real: Real, sender: str, number: int) -> pb.Message:
    request = pb.SendMessageRequest(
        task_id="task-1", from_agent_id=sender, type="STATUS", body=json.dumps([sender, number])
    )
    # The same request id whenever the same message is sent again.
    sent: pb.Message = (await real.ask("SendMessage", request, f"{sender}-{number}")).message
    return sent


async def unread(real: Real, agent_id: str) -> list[pb.Message]:
    request = pb.ListMessagesRequest(task_id="task-1", agent_id=agent_id, page_size=500)
    return list((await real.ask("ListMessages", request)).messages)


async def in_the_log(real: Real) -> tuple[list[str], list[list[object]]]:
    """Every value of the count, and every body of a message, as the log has them."""
    counts, bodies = [], []
    for sequence in range(1, (await stream_state(real.events)).last + 1):
        recorded = await read_at(real.events, sequence)
        assert recorded is not None
        if recorded.event_type == "SigningKeyAnnounced":
            continue
        match CODEC.decode(recorded).event:
            case EntryPut(entry=entry):
                counts.append(entry.value)
            case MessageSent(message=message):
                bodies.append(json.loads(message.body))
            case _:
                pass
    return counts, bodies


async def test_killed_again_and_again_no_update_is_lost_and_no_message_comes_twice_or_never(
    real: Real,
) -> None:
    for agent_id in AGENTS:
        await real.locked(agent_id)
    await put(real, "count", "0")
    enough = asyncio.Event()
    done = dict.fromkeys(AGENTS, 0)

    async def count(agent_id: str) -> None:
        while not enough.is_set():
            entry = await got(real, "count")
            try:
                value = str(json.loads(entry.value) + 1)
                request_id = f"{agent_id}-count-{done[agent_id]}-{entry.version}"
                await put(real, "count", value, request_id, expected_version=entry.version)
            except Conflict:
                continue
            await send(real, agent_id, done[agent_id])
            done[agent_id] += 1

    workers = [asyncio.create_task(count(agent_id)) for agent_id in AGENTS]
    for _ in range(3):
        goal = sum(done.values()) + 40
        while sum(done.values()) < goal:
            await asyncio.wait(workers, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
            assert not any(worker.done() and worker.exception() for worker in workers)
        real.process.kill()
        await asyncio.to_thread(real.process.start)
        await real.store.flushall()
    enough.set()
    await asyncio.gather(*workers)

    total = sum(done.values())
    counts, bodies = await in_the_log(real)
    assert counts == [str(n) for n in range(total + 1)]
    assert (await got(real, "count")).value == str(total)
    for agent_id in AGENTS:
        assert [number for sender, number in bodies if sender == agent_id] == list(range(done[agent_id]))
        waiting = [json.loads(each.body) for each in await unread(real, agent_id)]
        assert waiting == [body for body in bodies if body[0] != agent_id]
    assert (await real.verify()).equal


async def test_an_inbox_survives_everything_but_the_log(real: Real, nats_server: NatsServer) -> None:
    for agent_id in AGENTS:
        await real.locked(agent_id)
    sent = [await send(real, "alpha", n) for n in range(5)]
    done = pb.AcknowledgeMessagesRequest(task_id="task-1", agent_id="beta", up_to_sequence=sent[2].sequence)
    await real.ask("AcknowledgeMessages", done)
    checkpoint = pb.Checkpoint(run_id="run-1", task_id="task-1", agent_id="alpha", phase="PLAN", note="here")
    saved = (await real.ask("SaveCheckpoint", pb.SaveCheckpointRequest(checkpoint=checkpoint))).checkpoint
    before = await real.verify()
    real.process.kill()
    nats_server.kill()
    await real.store.flushall()
    nats_server.start()
    await asyncio.to_thread(real.process.start)
    assert [each.message_id for each in await unread(real, "beta")] == [each.message_id for each in sent[3:]]
    assert len(await unread(real, "gamma")) == 5
    again = await send(real, "alpha", 1)
    assert again == sent[1]
    found = (await real.ask("GetCheckpoint", pb.GetCheckpointRequest(run_id="run-1"))).checkpoint
    assert found == saved
    after = await real.verify()
    assert (after.equal, after.log_hash) == (True, before.log_hash)
    rebuilt = await real.ask("RebuildStore", pb.RebuildStoreRequest())
    assert rebuilt.state_hash == after.log_hash
