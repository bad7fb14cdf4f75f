"""What keeps the ledger whole besides its book: the event log written through its fence, and the scrubber's memory."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from chassis import files
from chassis.eventlog import fence
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from kernel.faults import Unavailable
from services.ledger.domain import leaf
from services.ledger.domain.entry import Message, headers_of
from services.ledger.domain.faults import LedgerDiverged
from services.ledger.domain.records import Scrubbed

_BATCH, _COMMIT = "Nats-Batch-Id", "Nats-Batch-Commit"


class JetStreamMender:
    """Implements `ports.Mender`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fence(self, why: str) -> None:
        await fence.fence(self._connection, why)

    async def lift(self) -> None:
        await fence.lift(self._connection)

    async def republish(self, messages: Sequence[Message]) -> int:
        done = 0
        try:
            for group in _groups(messages):
                # One by one: behind one that is refused, nothing may land on its sequence.
                answer = (0, "")
                for each in group:
                    answer = await fence.write_through(
                        self._connection, each.subject, each.header, each.payload
                    )
                    if answer[1]:
                        raise LedgerDiverged(
                            f"event {each.sequence} could not be put back: {answer[1]}", each.sequence
                        )
                if answer[0] != group[-1].sequence:
                    raise LedgerDiverged(
                        f"event {group[-1].sequence} was put back as {answer[0]}: somebody else has written",
                        group[-1].sequence,
                    )
                done += len(group)
        except (NotConnected, AnswerLost):
            raise Unavailable(
                "LOG_UNREACHABLE", "the event log went away during the repair; repair again"
            ) from None
        return done


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Single messages, and batches that are whole; a batch that does not end within `messages` is left for later.

    Raises:
        LedgerDiverged: only the end of a batch was lost, or it is longer than what is given.
    """
    groups: list[list[Message]] = []
    batch: list[Message] = []
    for each in messages:
        headers = headers_of(leaf.header_lines(each.header) or [])
        if not headers.get(_BATCH):
            groups.append([each])
            continue
        if not batch and headers.get("Nats-Batch-Sequence") != "1":
            raise LedgerDiverged(
                f"event {each.sequence} is part of a batch whose beginning was not lost: it cannot be put back alone",
                each.sequence,
            )
        batch.append(each)
        if headers.get(_COMMIT):
            groups.append(batch)
            batch = []
    return groups


class FileScrubMemory:
    """Implements `ports.ScrubMemory` in a small file; one that cannot be read counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Scrubbed:
        try:
            told = json.loads(self._path.read_bytes())
            at = told["finished_at"]
            return Scrubbed(
                int(told["next"]), int(told["passes"]), datetime.fromisoformat(at) if at else None
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Scrubbed()

    def keep(self, scrubbed: Scrubbed) -> None:
        at = scrubbed.finished_at
        told = {
            "next": scrubbed.next,
            "passes": scrubbed.passes,
            "finished_at": at.isoformat() if at else None,
        }
        try:
            files.private_directory(self._path.parent)
            files.replace(self._path, json.dumps(told).encode())
        except OSError as problem:
            raise Unavailable(
                "STORE_UNREACHABLE", f"the scrubber's position cannot be kept: {problem}"
            ) from problem
