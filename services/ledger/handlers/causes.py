"""Everything that led to an event, and a run step by step: read from the book's rows alone.

An event names its cause in a header. What it refers to besides (the decision an effect was carried out under, the
approval a decision was given for) led to it as well. Where an event names no cause, as those of former times, it is the
one before it in the same run.
"""

from heapq import heappop, heappush

from services.ledger.domain.entry import Entry
from services.ledger.domain.faults import EffectUnknown, EventUnknown, RunUnknown
from services.ledger.domain.questions import EventQuestion, Listed, Page, ReplayQuestion, page_of_events
from services.ledger.domain.steps import ReadReferences, References, Step, Traced
from services.ledger.domain.terms import RUN, terms_of
from services.ledger.domain.understood import Understand
from services.ledger.ports.book import Book

MAX_STEPS = 200
_MAX_PAGES = 4


class Causes:
    """Asks the book; `references_of` and `understand` read payloads."""

    def __init__(self, book: Book, understand: Understand, references_of: ReadReferences) -> None:
        self._book = book
        self._understand = understand
        self._references_of = references_of

    async def of_event(self, tenant: str, event_id: str) -> Traced:
        """Raises EventUnknown: the tenant has no such event."""
        entry = await self._book.event(tenant, event_id) if event_id else None
        if entry is None:
            raise EventUnknown(event_id)
        return await self._traced(tenant, entry)

    async def of_effect(self, tenant: str, effect_id: str) -> Traced:
        """What led to the event that says an effect was about to be carried out. Raises EffectUnknown."""
        sequence = await self._book.effect(tenant, effect_id)
        entry = None if sequence is None else await self._at(tenant, sequence)
        if entry is None:
            raise EffectUnknown(effect_id)
        return await self._traced(tenant, entry)

    async def replay(self, question: ReplayQuestion, page_size: int, page_token: str) -> Listed[Step]:
        """A page of a run's events, oldest first.

        Raises:
            RunUnknown: the tenant has no event of such a run.
            Invalid, PageTokenInvalid: as every list.
        """
        found = await self._book.events(question, page_of_events(question, page_size, page_token))
        if not found.rows and found.end is None and not page_token:
            raise RunUnknown(question.run_id)
        known = {entry.event_id: entry.sequence for entry in found.rows}
        steps = []
        for entry in found.rows:
            cause = entry.causation_id
            if cause and cause not in known:
                led = await self._book.event(question.tenant, cause)
                known[cause] = 0 if led is None else led.sequence
            steps.append(Step(entry, known.get(cause, 0)))
        return Listed(tuple(steps), found.end)

    async def _traced(self, tenant: str, start: Entry) -> Traced:
        chain = _Chain(self, tenant, start)
        while chain.waiting and len(chain.steps) < MAX_STEPS:
            await chain.go_back()
        steps = tuple(chain.steps[sequence] for sequence in sorted(chain.steps))
        return Traced(steps, chain.incomplete or bool(chain.waiting))

    async def by_id(self, tenant: str, event_id: str) -> Entry | None:
        return await self._book.event(tenant, event_id)

    async def sequences_of(self, tenant: str, said: References, wanted: set[str]) -> set[int]:
        """Where what an event refers to stands; of decisions that were made together, those in `wanted` count."""
        found: set[int | None] = {await self._book.decision(tenant, each) for each in said.decisions}
        found |= {await self._book.effect(tenant, each) for each in said.effects}
        given = [said.approved[each] for each in said.approved if not wanted or each in wanted]
        for approval_id in {*said.approvals, *given}:
            approval = await self._book.approval(tenant, approval_id)
            if approval is not None:
                found |= {approval.sequence, approval.answered_sequence, approval.used_sequence}
        return {sequence for sequence in found if sequence is not None}

    async def before(self, tenant: str, run_id: str, sequence: int) -> Entry | None:
        """The event of a run that comes before a sequence."""
        after: tuple[int | str, ...] | None = (sequence,)
        question = EventQuestion(tenant, run_id=run_id)
        for _ in range(_MAX_PAGES):
            found = await self._book.events(question, Page(1, after))
            if found.rows or found.end is None:
                return found.rows[0] if found.rows else None
            after = found.end
        return None

    def runs_of(self, entry: Entry) -> set[str]:
        return {value for kind, _, value in terms_of(entry, self._understand(entry).links) if kind == RUN}

    def references_of(self, entry: Entry) -> References:
        return self._references_of(entry)

    async def at(self, tenant: str, sequence: int) -> Entry | None:
        return await self._at(tenant, sequence)

    async def _at(self, tenant: str, sequence: int) -> Entry | None:
        rows = await self._book.rows(sequence, sequence)
        return rows[0] if rows and rows[0].tenant == tenant else None


class _Chain:
    """What is known of a chain so far: the newest that waits is looked at next."""

    def __init__(self, causes: Causes, tenant: str, start: Entry) -> None:
        self._causes = causes
        self._tenant = tenant
        self._runs = causes.runs_of(start)
        self._decisions: set[str] = set()
        self._seen: dict[int, Entry] = {}
        self.waiting: list[int] = []
        self.steps: dict[int, Step] = {}
        self.incomplete = False
        self._found(start)

    async def go_back(self) -> None:
        """Take the newest event that waits, and find what led to it."""
        entry = self._seen[-heappop(self.waiting)]
        said = self._causes.references_of(entry)
        self._decisions.update(said.decisions)
        led = await self._led_to(entry)
        if led is not None:
            self._found(led)
        wanted = self._decisions.intersection(said.runs)
        if not wanted and len(self._runs) == 1:
            wanted = {each for each, run_id in said.runs.items() if run_id in self._runs}
        for sequence in await self._causes.sequences_of(self._tenant, said, wanted):
            if sequence < entry.sequence and sequence not in self._seen:
                known = await self._causes.at(self._tenant, sequence)
                if known is not None:
                    self._found(known)
        self.steps[entry.sequence] = Step(entry, 0 if led is None else led.sequence)

    async def _led_to(self, entry: Entry) -> Entry | None:
        if entry.causation_id:
            led = await self._causes.by_id(self._tenant, entry.causation_id)
            self.incomplete = self.incomplete or led is None
            # A cause comes before what it causes: whatever says otherwise is not followed round in circles.
            return led if led is not None and led.sequence < entry.sequence else None
        runs = self._causes.runs_of(entry)
        runs = runs & self._runs or runs
        if len(runs) != 1:
            return None
        (run_id,) = runs
        return await self._causes.before(self._tenant, run_id, entry.sequence)

    def _found(self, entry: Entry) -> None:
        if entry.sequence not in self._seen:
            self._seen[entry.sequence] = entry
            heappush(self.waiting, -entry.sequence)
