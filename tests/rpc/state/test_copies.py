"""Fault 14: an event that is published again past the append guard, when the server has forgotten it, counts once."""

from pathlib import Path

from chassis.eventlog.headers import block, raw_headers
from chassis.rpc import client
from kernel.events import Recorded
from provost.policy.v1.events_pb2 import PolicySetPublished
from provost.state.v1 import state_pb2 as pb
from tests.fakes.valkey_server import ValkeyServer
from tests.rpc.state.asks import advance, look, put_entry, unread, verify
from tests.rpc.state.conftest import Running, cause, serving
from tests.rpc.state.test_store import busy


async def published_again(state: Running, events: list[Recorded]) -> int:
    for each in events:
        sequence = state.log.put(each.subject, each.payload, raw_headers(each))
    await state.follower.reached(sequence)
    return sequence


async def test_what_is_no_set_and_what_was_one_before_are_not_in_force(state: Running) -> None:
    """Faults 14 and 16: policy, whose set it is, passes over both."""
    subject, sets = "evt.default.policy.policyset.current.PolicySetPublished", list[Recorded]()
    for n, names in enumerate((["ours"], ["ours", "personal"])):
        told = PolicySetPublished(version=str(n))
        told.labels.names.extend(names)
        header = f"ce-id: {n}\r\nce-type: {told.DESCRIPTOR.full_name}\r\nce-prevseq: {n}\r\n"
        state.log.put(subject, told.SerializeToString(), block(header))
        sets.append(state.log.recorded()[-1])
    state.log.put(subject, sets[0].payload, raw_headers(sets[0]))
    answer = b'{"type":"io.nats.jetstream.api.v1.stream_info_response"}'
    await state.sets.follower.reached(state.log.put(subject, answer))
    assert state.sets.labelling("default").names == frozenset({"ours", "personal"})


async def test_fault_14_a_copy_past_the_guard_counts_once_live_and_rebuilt(
    state: Running, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    token = await busy(state)
    before, hash_before = await look(state), (await verify(state)).log_hash
    messages, revocations = await unread(state, "sre-1"), state.view.revocations["default"]
    story = state.log.recorded()
    # Twice each: a copy of what has been copied is none the better.
    last = await published_again(state, [*story, *story])
    assert last == 3 * len(story)
    after = await look(state)
    assert (after.errors.total, after.sequence) == (1, before.sequence)
    assert after.packet == before.packet
    assert await unread(state, "sre-1") == messages
    assert state.view.revocations["default"].event == revocations.event
    verdict = await verify(state)
    assert verdict.equal
    assert verdict.store_hash == verdict.log_hash == hash_before
    # The server guards what is written next by what stands last, which is a copy.
    assert (await advance(state, token, "VERIFY")).sequence == last + 1
    await put_entry(state, "analysis", '"after"')
    error = pb.RecordErrorRequest(agent_id="sre-1", task_id="task-1", error_type="TIMEOUT")
    assert (await client.call(state.stub.RecordError, error, cause())).errors.total == 2
    await state.store.flushall()
    async with serving(state.log, valkey_server.url, tmp_path / "rebuilt") as rebuilt:
        assert (await look(rebuilt)).errors.total == 2
        found = await verify(rebuilt)
        assert found.equal
        assert found.log_hash == (await verify(state)).log_hash
        for aggregates in ("agents", "boards", "inboxes", "tasks", "checkpoints"):
            of_both = [dict(getattr(each.kept, aggregates).all("default")) for each in (state, rebuilt)]
            assert of_both[0] == of_both[1], aggregates
