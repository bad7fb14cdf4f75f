"""Blackboards: entries written by compare and set, and read as they stand."""

from dataclasses import replace

from kernel.events import Appended, Cause, Stream, require_token
from kernel.ports import Following
from services.state.domain.board import SECTIONS, Board, Entry, EntryPut, PutEntry
from services.state.domain.faults import EntryUnknown, FieldInvalid, PageTokenInvalid, RecipientUnknown
from services.state.domain.lock import ShowToken
from services.state.domain.page import Page, page_size_of
from services.state.handlers.fencing import Fencing
from services.state.handlers.kept import Kept, require_same, written_before
from services.state.handlers.working import Reader, Working


class Boards:
    """What the agents of each task know together."""

    def __init__(self, kept: Kept, following: Following, working: Working, fencing: Fencing) -> None:
        self._fencing = fencing
        self._writing = fencing.writing
        self._boards = kept.boards
        self._recall = kept.recall
        self._following = following
        self._working = working

    async def put(
        self, command: PutEntry, fencing_token: int, person: bool, cause: Cause
    ) -> tuple[Entry, int]:
        """The entry as it was written, and the sequence. A person need not be one of the crew.

        Raises:
            EntryChanged, EntryTooLarge, BoardFull, LabelUnknown, RecipientUnknown, Invalid: nothing was written.
            FencingTokenStale: nothing was written but this (recorded).
            TaskUnknown: a person named a task in which nothing ever happened.
            AgentIsRevoked.
        """
        require_token(command.task_id, "task_id")
        if person:
            await self._working.require_person(command.task_id, fencing_token, cause)
            return await self._put(command, fencing_token, person, cause)
        with self._writing.by(cause.tenant, command.author):
            return await self._put(command, fencing_token, person, cause)

    async def _put(
        self, command: PutEntry, fencing_token: int, person: bool, cause: Cause
    ) -> tuple[Entry, int]:
        shown = ShowToken(
            command.author, command.task_id, fencing_token, cause.actor, cause.at, command.run_id
        )
        appended = await self._fencing.answered(self._boards, command.task_id, PutEntry, shown, cause)
        if appended is None:
            appended = await self._write(command, shown, person, cause)
        board = self._boards.current(cause.tenant, command.task_id)
        entry = board.entries.get((command.section, command.key))
        if entry is None or (appended.event_ids and entry.sequence != appended.sequence):
            # Asked again, and others have written since: the answer is what it was.
            stream = Stream(cause.tenant, "state", "board", command.task_id)
            written = await written_before(self._recall, stream, appended.sequence, EntryPut)
            entry = replace(written.entry, sequence=appended.sequence)
        require_same(entry, command, "section", "key", "author", "value")
        return entry, appended.sequence

    async def _write(self, command: PutEntry, shown: ShowToken, person: bool, cause: Cause) -> Appended:
        writer = () if person else (command.author, command.run_id)
        command = replace(
            command,
            crew=self._crew(command, person, cause),
            labelling=self._working.labelling(cause.tenant, *writer),
        )
        try:
            return await self._fencing.write(self._boards, command.task_id, command, shown, cause)
        except RecipientUnknown:
            # The author may have taken its lock at another replica just now.
            await self._working.catch_up()
            command = replace(command, crew=self._crew(command, person, cause))
            return await self._fencing.write(self._boards, command.task_id, command, shown, cause)

    def _crew(self, command: PutEntry, person: bool, cause: Cause) -> frozenset[str]:
        crew = self._working.crew(cause.tenant, command.task_id, command.author)
        return crew | {command.author} if person else crew

    async def get(
        self,
        task_id: str,
        section: str,
        key: str,
        at_least_sequence: int,
        reader: Reader | None,
        cause: Cause,
    ) -> Entry:
        """Raises EntryUnknown, Invalid, Unavailable."""
        _require_section(section)
        self._working.require_reader(reader, cause)
        board = await self._board(task_id, at_least_sequence, cause)
        entry = board.entry(section, key)
        if entry is None:
            raise EntryUnknown(section, key)
        await self._working.stick(reader, frozenset(entry.labels), f"entry:{section}/{key}", cause)
        return entry

    async def list(
        self,
        task_id: str,
        section: str,
        page_size: int,
        page_token: str,
        at_least_sequence: int,
        reader: Reader | None,
        cause: Cause,
    ) -> Page[Entry]:
        """Of one section, or of all, in the order of sections and keys. Raises Invalid, Unavailable."""
        size, after = page_size_of(page_size), _after(page_token)
        if section:
            _require_section(section)
        self._working.require_reader(reader, cause)
        board = await self._board(task_id, at_least_sequence, cause)
        found = [
            entry
            for entry in sorted(board.in_section(section), key=_place)
            if after is None or _place(entry) > after
        ]
        shown = found[:size]
        labels = frozenset(label for entry in shown for label in entry.labels)
        await self._working.stick(reader, labels, f"entries:{section or 'all'}", cause)
        more = len(found) > len(shown)
        return Page(tuple(shown), f"{shown[-1].section}/{shown[-1].key}" if more else "")

    async def _board(self, task_id: str, at_least_sequence: int, cause: Cause) -> Board:
        """What this process has written is in memory before it is answered."""
        require_token(task_id, "task_id")
        await self._following.reached(at_least_sequence)
        return self._boards.current(cause.tenant, task_id)


def _require_section(section: str) -> None:
    if section not in SECTIONS:
        raise FieldInvalid("section", f"must be one of {', '.join(SECTIONS)}")


def _place(entry: Entry) -> tuple[int, str]:
    return SECTIONS.index(entry.section), entry.key


def _after(page_token: str) -> tuple[int, str] | None:
    if not page_token:
        return None
    section, _, key = page_token.partition("/")
    if section not in SECTIONS:
        raise PageTokenInvalid
    return SECTIONS.index(section), key
