"""State from a snapshot is state from the log's beginning; a snapshot that is not good is no snapshot."""

import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from chassis import mapping, process
from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause, Head, Stream
from provost.policy.v1 import events_pb2 as policy_events
from provost.state.v1 import events_pb2, state_pb2
from services.state.adapters import ArtifactDirectory, SequencingLog, aggregates_over
from services.state.domain.board import Entry, EntryPut
from services.state.domain.documents import comparable, digest, documents
from services.state.domain.errors import RecordError
from services.state.domain.inbox import Message, MessageSent
from services.state.domain.labels import RUNS_KEPT, LabelRun
from services.state.domain.packet import PacketIssued
from services.state.domain.taken import SnapshotTaken
from services.state.domain.task import ArtifactStored
from services.state.domain.view import View
from services.state.reactor.follow import fold
from services.state.reactor.snapshots import TENANT, SnapshotKeeper
from services.state.wire import CODEC, FILTERS
from services.state.wire.folded import FORMAT, PROGRAM, Foreign, format_of, unfolded
from tests.unit.state.worlds import T0, Worked, acquire, advance, artifact, at, packet


class Names:
    """The log's word, in memory."""

    def __init__(self) -> None:
        self.taken: list[SnapshotTaken] = []

    async def newest(self, count: int) -> Sequence[SnapshotTaken]:
        return self.taken[::-1][:count]

    async def name(self, taken: SnapshotTaken, request_id: str) -> bool:
        assert request_id
        self.taken.append(taken)
        return True


class Replica:
    """The view, the aggregates and their snapshots over a log and a directory."""

    def __init__(self, log: MemoryLog, root: Path, names: Names) -> None:
        self.log, self.view = log, View()
        _, self.every = aggregates_over(SequencingLog(log), CODEC)
        self.contents = ArtifactDirectory(root, process.new_id)
        self.keeper = SnapshotKeeper(self.view, self.every, self.contents, names, lambda: at(10))

    async def follow(self, after: int) -> int:
        """What came behind `after`; where the log ends."""
        end = await self.log.last_sequence()
        if end > after:
            feed = await self.log.open(FILTERS, after, None)
            upto = after
            while upto < end:
                batch = await feed.next()
                for recorded in batch.events:
                    fold(self.view, recorded)
                for aggregates in self.every:
                    await aggregates.take(batch.events)
                upto = batch.upto
            await feed.close()
        return end

    def state_hash(self) -> str:
        found = documents(self.view, self.view.places(), whole=True)
        return digest(comparable({each.key: each.content for each in found}, at(10)))

    def remembered(self) -> list[Any]:
        return [
            sorted((each.tenant, each.id, each.state, each.head, dict(each.answered)) for each in kind or ())
            for kind in (aggregates.remembered() for aggregates in self.every)
        ]


async def tell(log: MemoryLog, kind: str, name: str, events: Sequence[object], after: Head) -> Head:
    for event in events:
        stream = Stream("default", "state", kind, name)
        appended = await log.append(
            stream, (event,), after=after, cause=Cause("default", process.new_id(), "t", T0)
        )
        after = Head(appended.sequence, after.version + 1)
    return after


async def a_world(log: MemoryLog) -> Head:
    """Something of everything; the agent's head."""
    worked = Worked(stride=1).packed()
    worked.does(acquire("run-1", 0, lease=300))
    worked.does(advance(worked.sequence, 1))
    worked.does(RecordError("sre-1", "task-1", "run-1", "TIMEOUT", "", False, at(2)))
    for n in range(RUNS_KEPT + 2):
        worked.does(LabelRun("sre-1", f"run-{n}", (f"l{n}",), "packet", at(3)))
    head = await tell(log, "agent", "sre-1", [each.event for each in worked.events], Head())
    entry = Entry("task-1", "solutions", "first", '"restart"', "sre-1", 1, T0, ("secret",))
    await tell(log, "board", "task-1", [EntryPut(entry)], Head())
    message = Message("m-1", "task-1", "sre-1", "", "QUESTION", '"why"', "", T0, (), ("sre-2",))
    await tell(log, "inbox", "task-1", [MessageSent(message)], Head())
    await tell(log, "task", "task-1", [ArtifactStored(artifact())], Head())
    return head


async def taken(log: MemoryLog, root: Path, names: Names) -> Replica:
    replica = Replica(log, root, names)
    await replica.keeper.take(await replica.follow(0))
    return replica


async def test_from_a_snapshot_and_its_tail_is_from_the_beginning(tmp_path: Path) -> None:
    log, names = MemoryLog(CODEC), Names()
    head = await a_world(log)
    first = await taken(log, tmp_path, names)
    assert names.taken[-1].state_hash == first.state_hash()
    await tell(log, "agent", "sre-1", [PacketIssued(packet("task-2"), at(5))], head)

    second, whole = Replica(log, tmp_path, names), Replica(log, tmp_path / "none", Names())
    upto = await second.keeper.load(await log.last_sequence())
    assert upto == names.taken[-1].upto_sequence > 0
    assert second.remembered() == first.remembered()
    await second.follow(upto)
    assert await whole.keeper.load(await log.last_sequence()) == 0
    await whole.follow(0)
    assert second.state_hash() == whole.state_hash() != first.state_hash()
    assert second.remembered() == whole.remembered()
    assert second.view.tasks["default", "task-1"] == whole.view.tasks["default", "task-1"]
    assert second.view.recent.touched("default", "task-2") == whole.view.recent.touched("default", "task-2")
    # What both hold alike is in memory once.
    assert second.view.boards["default", "task-1"] is second.every[2].current("default", "task-1")


def file_of(root: Path, named: SnapshotTaken) -> Path:
    return root / TENANT / named.artifact_sha256[:2] / named.artifact_sha256


async def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path) -> None:
    log, names = MemoryLog(CODEC), Names()
    head = await a_world(log)
    await taken(log, tmp_path, names)
    await tell(log, "agent", "sre-1", [PacketIssued(packet("task-2"), at(5))], head)
    await taken(log, tmp_path, names)
    older, newer = names.taken
    path = file_of(tmp_path, newer)
    path.write_bytes(path.read_bytes()[:-3] + b"bad")
    assert await Replica(log, tmp_path, names).keeper.load(await log.last_sequence()) == older.upto_sequence
    file_of(tmp_path, older).unlink()
    assert await Replica(log, tmp_path, names).keeper.load(await log.last_sequence()) == 0


def written(value: object) -> bytes:
    """The opcodes that make `value`, without a beginning and an end."""
    return pickle.dumps(value, 3)[2:-1]


def calls(code: CodeType, module: str, function_type: str, code_type: str) -> bytes:
    """A piece that makes a function of `code`, by names found in `module`, and calls it."""
    args = (
        *(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals),
        *(code.co_stacksize, code.co_flags, code.co_code, code.co_consts, code.co_names, code.co_varnames),
        *(code.co_filename, code.co_name, code.co_qualname, code.co_firstlineno),
        *(code.co_linetable, code.co_exceptiontable),
    )
    makes, makes_code = (
        written(module) + written(name) + pickle.STACK_GLOBAL for name in (function_type, code_type)
    )
    function = makes + pickle.MARK + makes_code + written(args) + pickle.REDUCE + written({}) + pickle.TUPLE
    body = b"\x80\x04" + function + pickle.REDUCE + written(()) + pickle.REDUCE + pickle.STOP
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("module", "prefix"),
    [("services.state.domain.plain", "types."), ("types", "")],
)
def test_a_file_runs_nothing_whatever_the_bytes_say(tmp_path: Path, module: str, prefix: str) -> None:
    mark = tmp_path / "ran"
    code = compile(f"open({str(mark)!r}, 'w').close()", "forged", "exec")
    with pytest.raises(Foreign, match="no record of state's"):
        unfolded(FORMAT + calls(code, module, f"{prefix}FunctionType", f"{prefix}CodeType"), 5)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("plain", "to_json"),  # a function
        ("view", "Agent"),  # ours, and not there
        ("page", "Generic"),  # nobody's of ours
        ("faults", "CursorInvalid"),  # no record
        ("view", "View"),
        ("view", "View.take"),
    ],
)
def test_what_is_no_record_in_its_own_module_is_not_found(module: str, name: str) -> None:
    body = written(f"services.state.domain.{module}") + written(name) + pickle.STACK_GLOBAL
    body = b"\x80\x04" + body + pickle.STOP
    with pytest.raises(Foreign, match="no record of state's"):
        unfolded(FORMAT + len(body).to_bytes(4, "big") + body, 5)


def test_only_what_the_view_has_is_put_into_it() -> None:
    body = b"\x80\x04" + written(("take", 1, ())) + pickle.STOP
    with pytest.raises(Foreign, match="the view has no take"):
        unfolded(FORMAT + len(body).to_bytes(4, "big") + body, 5)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(FORMAT, b"provost state " + b"0" * 64 + b"\n"),
        lambda content: content[: len(content) // 2],
        lambda content: (
            FORMAT + len(b"cos\nsystem\n(S'false'\ntR.").to_bytes(4, "big") + b"cos\nsystem\n(S'false'\ntR."
        ),
        lambda content: b"",
    ],
    ids=["of another version", "cut short", "that would run something", "empty"],
)
async def test_one_that_this_program_did_not_write_is_none(tmp_path: Path, change: Any) -> None:
    log, names = MemoryLog(CODEC), Names()
    await a_world(log)
    replica = await taken(log, tmp_path, names)
    content = change(file_of(tmp_path, names.taken[0]).read_bytes())
    sha256 = await replica.contents.hash(content)
    await replica.contents.put(TENANT, sha256, content)
    was = names.taken.pop()
    names.taken = [SnapshotTaken(was.upto_sequence, sha256, was.state_hash, len(content), was.at)]
    fresh = Replica(log, tmp_path, names)
    assert await fresh.keeper.load(await log.last_sequence()) == 0
    assert not fresh.view.agents
    assert fresh.remembered() == [[], [], [], [], []]


async def test_all_of_the_program_that_folds_makes_the_format(tmp_path: Path) -> None:
    log, ran = MemoryLog(CODEC), set[Path]()
    await a_world(log)
    replica = Replica(log, tmp_path, Names())
    feed = await log.open(FILTERS, 0, None)
    recorded = (await feed.next()).events
    await feed.close()

    def note(frame: FrameType, what: str, _: object) -> None:
        if what == "call":
            ran.add(Path(frame.f_code.co_filename))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for each in recorded:
            fold(replica.view, each)
        for aggregates in replica.every:
            await aggregates.take(recorded)
    finally:
        sys.setprofile(before)
    assert replica.view.tasks
    folded_by = {each for each in ran if {"chassis", "kernel", "services"} & set(each.parts)}
    assert len(folded_by) > 20
    assert folded_by <= set(PROGRAM)


def test_all_that_says_what_lies_in_an_event_makes_the_format() -> None:
    modules = {policy_events, events_pb2, state_pb2, mapping}
    assert {Path(str(each.__file__)) for each in modules} <= set(PROGRAM)


def test_another_text_of_the_program_is_another_format(tmp_path: Path) -> None:
    assert format_of(PROGRAM) == FORMAT
    for source in PROGRAM:
        changed = tmp_path / "changed.py"
        changed.write_bytes(source.read_bytes() + b"\n")
        assert format_of([changed if each == source else each for each in PROGRAM]) != FORMAT


async def test_one_ahead_of_the_log_is_none(tmp_path: Path) -> None:
    log, names = MemoryLog(CODEC), Names()
    await a_world(log)
    await taken(log, tmp_path, names)
    assert await Replica(log, tmp_path, names).keeper.load(names.taken[0].upto_sequence - 1) == 0


async def test_two_are_kept(tmp_path: Path) -> None:
    log, names = MemoryLog(CODEC), Names()
    head = await a_world(log)
    for number in range(4):
        for path in tmp_path.rglob("*"):
            os.utime(path, (0, 0))
        head = await tell(log, "agent", "sre-1", [PacketIssued(packet(f"task-{number}"), at(5))], head)
        await taken(log, tmp_path, names)
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {each.artifact_sha256 for each in names.taken[-2:]}


async def test_one_that_another_process_is_about_to_name_is_kept(tmp_path: Path) -> None:
    log, names = MemoryLog(CODEC), Names()
    await a_world(log)
    replica = Replica(log, tmp_path, names)
    sha256 = await replica.contents.hash(b"another's")
    await replica.contents.put(TENANT, sha256, b"another's")
    await replica.keeper.take(await replica.follow(0))
    assert await replica.contents.get(TENANT, sha256) == b"another's"


async def test_what_another_program_could_read_is_not_hidden_by_a_snapshot(tmp_path: Path) -> None:
    log, names = MemoryLog(CODEC), Names()
    head = await a_world(log)
    replica = Replica(log, tmp_path, names)
    end = await replica.follow(0)
    unknown = await log.load(Stream("default", "state", "agent", "sre-1"))
    headers = {**unknown[-1].headers, "ce-id": "another", "ce-prevseq": str(unknown[-1].sequence)}
    broken = type(unknown[-1])(end + 1, unknown[-1].subject, headers, b"\xff\xff")
    await replica.every[0].take([broken])
    assert head.version
    assert await replica.keeper.take(end + 1) is None
    assert not names.taken
