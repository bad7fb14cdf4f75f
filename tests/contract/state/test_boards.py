"""No update of a board is lost, no message is lost or comes twice: over every log, whatever happens to the store."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kernel.events import Cause
from kernel.faults import Fault
from services.state.domain.board import Entry, PutEntry
from services.state.domain.inbox import AcknowledgeMessages, SendMessage
from services.state.domain.labels import ANY_LABEL
from services.state.domain.lock import AcquireLock
from services.state.domain.packet import IssuePacket
from tests.contract.state.house import House, Replica, patiently
from tests.unit.state.worlds import packet

T = TypeVar("T")
WRITERS = ("a", "b", "c")
WRITER, WHICH = st.sampled_from(WRITERS), st.integers(0, 1)


class Sharing(RuleBasedStateMachine):
    """Persons that read a count and write one more, and tell each other, at either of two replicas."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.house = house
        self.read: dict[str, tuple[int, int]] = {}
        self.version = self.count = 0
        self.asked: list[tuple[PutEntry, Cause, Entry]] = []
        self.sent: list[tuple[str, int]] = []
        self.unread: list[tuple[str, int]] = []
        self.reached = 0
        self.run(house.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            for which in (0, 1):
                self.looks(which)
                self.listens(which)
            verdict = self.run(patiently(self.house.replicas[0].audit.verify))
            assert verdict.equal, verdict.differing_keys
        finally:
            self.run(self.house.close())
            self.runner.close()

    async def replica(self, which: int) -> Replica:
        """That has heard of everything that was answered."""
        found = self.house.replicas[which]
        await found.follower.reached(self.reached)
        return found

    async def put(self, which: int, command: PutEntry, cause: Cause) -> Entry | Fault:
        try:
            entry, sequence = await self.house.replicas[which].boards.put(command, 0, True, cause)
        except Fault as fault:
            return fault
        self.reached = max(self.reached, sequence)
        return entry

    def command(self, writer: str) -> PutEntry:
        version, count = self.read[writer]
        at = self.house.clock.now()
        value = str(count + 1)
        return PutEntry("task-1", "progress", "count", value, writer, version, (), ANY_LABEL, frozenset(), at)

    def wrote(self, command: PutEntry, cause: Cause, entry: Entry) -> None:
        assert entry.version == self.version + 1, "two wrote on the same version"
        assert int(entry.value) == self.count + 1, "an update was lost"
        self.version, self.count = entry.version, int(entry.value)
        self.asked.append((command, cause, entry))

    @initialize()
    def somebody_listens(self) -> None:
        kept, at = self.house.replicas[0].kept, self.house.clock.now()
        for command in (
            IssuePacket(packet("task-1", "ear"), at),
            AcquireLock("ear", "task-1", "run-1", 60, at),
        ):
            appended = self.run(kept.agents.handle("ear", command, self.house.cause()))
            self.reached = max(self.reached, appended.sequence)

    @rule(writer=WRITER, which=WHICH)
    def reads(self, writer: str, which: int) -> None:
        self.read[writer] = self.stands(which)

    @rule(which=WHICH)
    def looks(self, which: int) -> None:
        assert self.stands(which) == (self.version, self.count)

    def stands(self, which: int) -> tuple[int, int]:
        async def get() -> Entry | None:
            boards = (await self.replica(which)).boards
            page = await boards.list("task-1", "progress", 0, "", self.reached, None, self.house.cause())
            return page.items[0] if page.items else None

        entry = self.run(get())
        return (entry.version, int(entry.value)) if entry else (0, 0)

    @precondition(lambda self: self.read)
    @rule(data=st.data(), which=WHICH)
    def writes(self, data: st.DataObject, which: int) -> None:
        writer = data.draw(st.sampled_from(sorted(self.read)))
        command, cause = self.command(writer), self.house.cause()
        answer = self.run(self.put(which, command, cause))
        if isinstance(answer, Entry):
            assert command.expected_version == self.version, "written over what was not read"
            self.wrote(command, cause, answer)
        else:
            assert answer.reason == "ENTRY_CHANGED"
            assert command.expected_version != self.version, "refused, though nobody had written since"
        del self.read[writer]

    @rule()
    def all_write_at_once_on_the_same(self) -> None:
        stands = self.stands(0)
        self.read |= dict.fromkeys(WRITERS, stands)
        asking = [(n % 2, self.command(writer), self.house.cause()) for n, writer in enumerate(WRITERS)]
        answers = self.run(_all(self.put(*each) for each in asking))
        won = [n for n, answer in enumerate(answers) if isinstance(answer, Entry)]
        assert len(won) == 1, f"{answers}"
        assert all(answer.reason == "ENTRY_CHANGED" for answer in answers if isinstance(answer, Fault))
        winner = answers[won[0]]
        assert isinstance(winner, Entry)
        self.wrote(*asking[won[0]][1:], winner)
        self.read.clear()

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), which=WHICH)
    def asks_again(self, data: st.DataObject, which: int) -> None:
        command, cause, entry = data.draw(st.sampled_from(self.asked))
        self.run(self.replica(which))
        assert self.run(self.put(which, command, cause)) == entry

    @rule(which=WHICH, writers=st.lists(WRITER, min_size=1, max_size=3))
    def tell(self, which: int, writers: list[str]) -> None:
        async def send(writer: str) -> None:
            number = sum(1 for each, _ in self.sent if each == writer)
            self.sent.append((writer, number))
            at = self.house.clock.now()
            body = json.dumps([writer, number])
            command = SendMessage(
                "", "task-1", writer, "ear", "STATUS", body, "", (), ANY_LABEL, frozenset(), at
            )
            inboxes = (await self.replica(which)).inboxes
            message, sequence = await inboxes.send(command, 0, True, self.house.cause())
            assert message.recipients == ("ear",)
            self.reached = max(self.reached, sequence)
            self.unread.append((writer, number))

        for writer in writers:
            self.run(send(writer))

    @rule(which=WHICH)
    def listens(self, which: int) -> None:
        self.hears(which)

    def hears(self, which: int) -> list[int]:
        async def hear() -> list[tuple[int, tuple[str, int]]]:
            inboxes = (await self.replica(which)).inboxes
            cause = self.house.cause()
            page = await inboxes.list("task-1", "ear", False, 500, "", self.reached, None, cause)
            return [(each.sequence, tuple(json.loads(each.body))) for each in page.items]

        heard = self.run(hear())
        assert [body for _, body in heard] == self.unread
        return [sequence for sequence, _ in heard]

    @precondition(lambda self: self.unread)
    @rule(data=st.data(), which=WHICH)
    def acknowledges(self, data: st.DataObject, which: int) -> None:
        waiting = self.hears(which)
        count = data.draw(st.integers(1, len(waiting)))
        command = AcknowledgeMessages("task-1", "ear", waiting[count - 1], (), self.house.clock.now())
        handling = self.house.replicas[which].inboxes.acknowledge(command, 0, False, self.house.cause())
        self.reached = max(self.reached, self.run(handling).sequence)
        del self.unread[:count]

    @rule()
    def the_store_is_emptied(self) -> None:
        async def flush() -> None:
            await self.house.store.flushall()

        self.run(flush())


async def _all(work: Any) -> list[Any]:
    return list(await asyncio.gather(*work))


@pytest.mark.timeout(300)
def test_no_update_is_lost_and_no_message(houses: tuple[str, Callable[[], House]]) -> None:
    log, house = houses
    examples = {"memory": 60, "jetstream": 20}[log]

    class OverThisLog(Sharing):
        def __init__(self) -> None:
            super().__init__(house())

    run_state_machine_as_test(
        OverThisLog,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
