"""Asks witnesses to sign what was signed, and remembers what they say. Nothing waits for them but those who ask how
things stand.

Each witness is asked on its own, from where it stands: one that was away is given the proof from its own last head. One
that has seen another history is believed: that is what it is there for.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from kernel.faults import Fault, Unavailable
from services.ledger.domain import proofs
from services.ledger.domain.audit import Finding
from services.ledger.domain.checkpoint import Checkpoint, MalformedNote, Verify
from services.ledger.domain.records import SignedHead
from services.ledger.domain.witnesses import (
    Cosigned,
    Elsewhere,
    Inconsistent,
    Standing,
    WitnessRefused,
    newest_cosignature,
)
from services.ledger.handlers.roots import roots
from services.ledger.ports.book import Book
from services.ledger.ports.memory import CosignedMemory
from services.ledger.ports.signing import Signer, Witness

ASK_SECONDS = 5.0
REFRESH_SECONDS = 60.0
"""A head that stays is signed anew so often: a witness that has lost its way, or a history that has, is noticed."""
_TRIES = 4
_KEPT_HEADS = 8
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0

Tell = Callable[[Standing, int], None]
"""Told of each answer, and how many events the witness is behind the newest head."""


class Witnessing:
    """What is known of the witnesses of this log. `run` asks them; without witnesses there is nothing to do."""

    def __init__(
        self,
        book: Book,
        signer: Signer,
        witnesses: Sequence[Witness] = (),
        memory: CosignedMemory | None = None,
        verify: Verify = lambda *_: False,
        tell: Tell = lambda *_: None,
    ) -> None:
        self._book = book
        self._signer = signer
        self._witnesses = witnesses
        self._memory = memory
        self._verify = verify
        self._tell = tell
        self._standings = {each.key.text: Standing(each.key.name) for each in witnesses}
        self._lines: dict[Checkpoint, dict[str, str]] = {}
        self._head: SignedHead | None = None
        self._before: SignedHead | None = None
        self._asking: set[str] = set()
        self._moved = asyncio.Event()
        self._recalled = False

    @property
    def standings(self) -> Sequence[Standing]:
        """How it stands with each witness, in the order they were given."""
        return tuple(self._standings.values())

    def see(self, head: SignedHead) -> None:
        """A head was signed: the witnesses are asked to sign it too."""
        if self._head is not None and self._head.checkpoint == head.checkpoint:
            return
        self._before = None if self._head is None else self.newest(self._head, 0)
        self._head = head
        self._asking = {key for key, standing in self._standings.items() if not standing.trouble}
        self._lines = dict(list(self._lines.items())[-_KEPT_HEADS:])
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def newest(self, head: SignedHead, least_size: int) -> SignedHead:
        """`head`, the newest, with its cosignatures. While witnesses are being asked about it, the last one they were
        done with, if it is of `least_size` at least: they answer in milliseconds, and nobody need see a head without.
        """
        if self._asking and self._before is not None and self._before.checkpoint.size >= least_size:
            return self._before
        return self.cosigned(head)

    def cosigned(self, head: SignedHead) -> SignedHead:
        """`head` with the cosignatures that are known of it."""
        lines = self._lines.get(head.checkpoint, {})
        known = [(each.key.name, lines[each.key.text]) for each in self._witnesses if each.key.text in lines]
        note = head.note + "".join(line for _, line in known)
        return replace(head, note=note, witnesses=tuple(name for name, _ in known))

    async def run(self) -> None:
        """Ask every witness about every head, until cancelled."""
        await self._recall()
        async with asyncio.TaskGroup() as tasks:
            for each in self._witnesses:
                tasks.create_task(self._attend(each))

    async def look(self, timeout_seconds: float = ASK_SECONDS) -> Sequence[Finding]:
        """Ask all of them now, and say what they think; nothing when there are none."""
        await self._recall()
        async with asyncio.TaskGroup() as tasks:
            for each in self._witnesses:
                tasks.create_task(self._try(each, timeout_seconds))
        return [_finding(each) for each in self.standings]

    async def _attend(self, witness: Witness) -> None:
        pause = _PAUSE_SECONDS
        asked: Checkpoint | None = None
        while True:
            moved, head = self._moved, self._head
            if head is None or head.checkpoint == asked:
                try:
                    async with asyncio.timeout(REFRESH_SECONDS):
                        await moved.wait()
                except TimeoutError:
                    asked = None
            elif await self._try(witness, ASK_SECONDS):
                pause, asked = _PAUSE_SECONDS, head.checkpoint
            else:
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)

    async def _try(self, witness: Witness, timeout_seconds: float) -> bool:
        """Whether it had an answer, for us or against us."""
        key = witness.key.text
        standing, about = self._standings[key], self._head
        try:
            async with asyncio.timeout(timeout_seconds):
                standing = await self._ask(witness)
        except WitnessRefused as refused:
            standing = replace(standing, refused=refused.text, trouble="", size=int(refused.facts["size"]))
        except TimeoutError:
            standing = replace(standing, trouble=f"no answer within {timeout_seconds:g} seconds")
        except Fault as fault:
            standing = replace(standing, trouble=fault.text)
        except Exception as problem:  # noqa: BLE001 - whatever a witness does, the ledger goes on
            standing = replace(standing, trouble=repr(problem))
        self._standings[key] = standing
        if standing.trouble or about is self._head:
            self._asking.discard(key)
        self._tell(standing, self._behind(standing))
        return not standing.trouble

    async def _ask(self, witness: Witness) -> Standing:
        head, name = self._head, witness.key.name
        if head is None:
            raise Unavailable("LEDGER_BEHIND", "no head is signed yet")
        old = min(self._standings[witness.key.text].size, head.checkpoint.size)
        for _ in range(_TRIES):
            new = head.checkpoint.size
            path = await roots(self._book, proofs.consistency_ranges(old, new))
            match await witness.ask(old, path, head.note):
                case Cosigned(lines):
                    return await self._keep(witness, head, lines)
                case Inconsistent():
                    why = f"this head over {new} events did not grow out of the one over {old} that it has signed"
                    raise WitnessRefused(name, why, old)
                case Elsewhere(size) if size == old == new:
                    raise WitnessRefused(name, f"it has signed another head over {size} events", size)
                case Elsewhere(size) if size > new:
                    head = self._as_large_as(size)
                    if head is None:
                        why = f"it has signed a head over {size} events, and none so large is known here"
                        raise WitnessRefused(name, why, size)
                    old = size
                case Elsewhere(size):
                    old = size
        raise Unavailable("PEER_UNREACHABLE", f"{name} names another size each time")

    def _as_large_as(self, size: int) -> SignedHead | None:
        """The head that another process of this ledger has signed meanwhile."""
        last = self._signer.last
        return last if last is not None and last.checkpoint.size >= size else None

    async def _keep(self, witness: Witness, head: SignedHead, lines: str) -> Standing:
        try:
            found = newest_cosignature(head.note + lines, witness.key, self._verify)
        except MalformedNote as problem:
            raise Unavailable(
                "PEER_UNREACHABLE", f"what it answers is no signature: {problem.text}"
            ) from None
        if found is None:
            raise Unavailable("PEER_UNREACHABLE", f"it does not sign with the key {witness.key.text}")
        at, line = found
        self._lines.setdefault(head.checkpoint, {})[witness.key.text] = line
        done = self.cosigned(head)
        late = self._head is not None and head.checkpoint != self._head.checkpoint
        if late and (self._before is None or self._before.checkpoint.size <= head.checkpoint.size):
            # It took longer than the next head did: this one is then the last they were done with.
            self._before = done
        if self._memory is not None:
            await self._memory.keep(done.note)
        return Standing(witness.key.name, head.checkpoint.size, at)

    async def _recall(self) -> None:
        """Show again what was signed before a restart; what does not verify is as if it were not there."""
        if self._recalled or self._memory is None:
            return
        self._recalled = True
        try:
            note = await self._memory.recall()
            head = self._signer.opens(note)
            found = [(each, newest_cosignature(note, each.key, self._verify)) for each in self._witnesses]
        except Fault:
            return  # not there, or not of this log and key: they are asked again anyway
        for witness, cosignature in found:
            if cosignature is not None:
                self._lines.setdefault(head, {})[witness.key.text] = cosignature[1]
                self._standings[witness.key.text] = Standing(witness.key.name, head.size, cosignature[0])

    def _behind(self, standing: Standing) -> int:
        return 0 if self._head is None else max(0, self._head.checkpoint.size - standing.size)


def _finding(standing: Standing) -> Finding:
    if standing.refused:
        return Finding("witness", False, standing.refused)
    if standing.trouble:
        detail = f"{standing.name} cannot be asked ({standing.trouble}); it has signed {standing.size} events"
        return Finding("witness", True, detail)
    return Finding("witness", True, f"{standing.name} has signed the head over {standing.size} events")
