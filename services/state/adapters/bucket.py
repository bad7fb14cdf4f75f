"""A bucket of NATS' object store, message by message: a stream with chunks and metadata in it (NATS' ADR-20)."""

import json
from collections.abc import AsyncIterator
from typing import Any

from chassis.eventlog.api import NO_STREAM, TRY_SECONDS, call, check_answer, found_or_made, message_of
from chassis.eventlog.headers import block
from chassis.eventlog.jetstream import CONFLICTS, refusal
from chassis.eventlog.stream import stream_state
from chassis.eventlog.wire import Connection
from kernel.faults import Exhausted
from services.state.adapters.contents import full


class NotTaken(Exception):
    """What was published was not accepted, and may be next time."""


class Bucket:
    """What stands behind `chunks` in a subject is one upload, behind `metas` the name of an object."""

    def __init__(self, connection: Connection, name: str, patience_seconds: float) -> None:
        self.name = name
        self.chunks, self.metas = f"$O.{name}.C.", f"$O.{name}.M."
        self._connection = connection
        self._patience_seconds = patience_seconds

    async def open(self) -> None:
        """Have it, on as many servers as the event log. Raises Unavailable, Exhausted."""
        replicas = (await stream_state(self._connection, patience_seconds=self._patience_seconds)).replicas
        wanted = {
            "name": f"OBJ_{self.name}",
            "subjects": [self.chunks + ">", self.metas + ">"],
            "storage": "file",
            "discard": "new",
            "num_replicas": replicas,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        }
        found = await found_or_made(self._connection, wanted, patience_seconds=self._patience_seconds)
        if found["config"]["num_replicas"] < replicas:
            check_answer(await self._call("UPDATE", found["config"] | {"num_replicas": replicas}))

    async def publish(self, subject: str, payload: bytes, lines: str = "") -> int:
        """The sequence. Raises NotConnected, AnswerLost, NotTaken, Exhausted, Unavailable."""
        header, answer = await self._connection.ask(
            subject, payload, header=block(lines) if lines else b"", timeout_seconds=TRY_SECONDS
        )
        if header:  # nobody was there to take it
            raise NotTaken
        told = json.loads(answer)
        if "error" not in told:
            return int(told["seq"])
        if told["error"]["err_code"] in CONFLICTS:
            raise NotTaken
        fault = refusal(told["error"])
        if isinstance(fault, Exhausted):
            raise full() from fault
        raise fault or NotTaken

    async def message(self, what: dict[str, Any]) -> dict[str, Any] | None:
        """The message that STREAM.MSG.GET finds. Raises Unavailable."""
        # Answered by the leader; a direct get may come from a replica that is behind.
        answer = await self._call("MSG.GET", what)
        if answer.get("error", {}).get("err_code") == NO_STREAM:
            await self.open()
            return None
        return message_of(answer)

    async def subjects(self, prefix: str) -> AsyncIterator[str]:
        """What follows `prefix` in the subjects of the messages that there are. Raises Unavailable."""
        offset, total = 0, 1
        while offset < total:
            answer = await self._call("INFO", {"subjects_filter": prefix + ">", "offset": offset})
            check_answer(answer)
            subjects = answer["state"].get("subjects") or {}
            for subject in subjects:
                yield subject.removeprefix(prefix)
            total = answer.get("total", 0)
            offset += max(1, len(subjects))

    async def delete(self, sequence: int) -> bool:
        """Delete one message; whether it was still there. Raises Unavailable."""
        return bool((await self._call("MSG.DELETE", {"seq": sequence, "no_erase": True})).get("success"))

    async def drop(self, *uploads: str) -> None:
        """Delete their chunks. Raises Unavailable."""
        for upload in filter(None, uploads):
            check_answer(await self._call("PURGE", {"filter": self.chunks + upload}))

    async def _call(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        subject = f"STREAM.{what}.OBJ_{self.name}"
        return await call(self._connection, subject, body, patience_seconds=self._patience_seconds)
