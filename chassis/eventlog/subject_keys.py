"""The keys that personal data is sealed under: a stream of their own, `KEYS`, one message for each subject.

Kept apart from the events because this one has to forget: a key is deleted with its bytes overwritten. What is kept is
wrapped by a key-encryption key from a file, so that the stream alone shows nothing. A key that an event has erased is
refused, whatever the stream says: an old copy of it brings nothing back.
"""

import base64
import hmac
import json
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from chassis.eventlog.api import NO_MESSAGE, Patience, call, found_or_made, message_of, unreachable
from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import block, is_event
from chassis.eventlog.jetstream import CONFLICTS
from chassis.eventlog.stream import stream_state
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from chassis.eventlog.wrapping import SealingKey
from chassis.sealing import KEY_BYTES, Seal, key_ids, told
from kernel.events import Recorded
from kernel.faults import Refused, Unavailable
from provost.event.v1 import privacy_pb2 as pb

KEYS = "KEYS"
ERASURES = "evt.*.ledger.erasure.*.SubjectErased"
ONE_RUN = "run:"
"""How the subjects begin that are one run each."""
MOST_HELD = 4096
STALE_SECONDS = 5.0
"""How long ago the follower of erasures may have been at the end of the log for a held key to be used."""
_CONFIG = {
    "name": KEYS,
    "subjects": ["key.>"],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_age": 0,
    "max_msgs": -1,
    "deny_purge": True,
}
log = structlog.get_logger("chassis.eventlog")

Erased = Callable[[str, str], None]
"""Told tenant and key id of what was erased; must not block or raise."""


class NatsSubjectKeys:
    """Implements `kernel.ports.SubjectKeys`, and what erasing needs besides."""

    def __init__(self, connection: Connection, file: Path, name: str) -> None:
        self._connection = connection
        self._wrapping = SealingKey(file)
        self._held: OrderedDict[tuple[str, str], Seal] = OrderedDict()
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._erased: set[tuple[str, str]] = set()
        self._told: list[Erased] = []
        self._follower = Follower(connection, (ERASURES,), 0, self._take, f"{name} erasures")

    async def start(self, told: Erased | None = None) -> "NatsSubjectKeys":
        """Be ready: the stream is there, the file fits it, every erasure is known. `told` hears of those to come, too.

        Raises:
            ValueError: the file is missing though keys are wrapped with it, or is another one.
            PermissionError: others may read the file.
            Unavailable: the log does not answer.
        """
        if told is not None:
            self._told.append(told)
        await self._ensure_stream()
        first = await self._get({"seq": 1, "next_by_subj": "key.>"})
        self._wrapping.load(first=first is None)
        if first is not None:
            try:
                self._wrapping.unwrap(first[1].split(".")[1], first[2])
            except Unavailable as problem:
                raise ValueError(problem.text) from None
        await self._follower.start()
        await self._follower.caught_up()
        return self

    async def stop(self) -> None:
        await self._follower.stop()

    def subject_id(self, tenant: str, subject: str) -> str:
        """The pseudonym of a subject; without the file nobody can tell of which."""
        name = f"{tenant}\0{subject}".encode()
        return hmac.digest(self.pepper("subject"), name, "sha256").hex()[:32]

    def pepper(self, purpose: str) -> bytes:
        """32 bytes that stay the same as long as the file does: for digests of what can be guessed."""
        return self._wrapping.derived(purpose)

    async def of_subject(self, tenant: str, subject: str) -> Seal:
        subject_id = self.subject_id(tenant, subject)
        known = self._ids.get((tenant, subject_id))
        if known is not None and self._usable(tenant, known):
            return self._held[tenant, known]
        made = Seal(tenant, f"{subject_id}-{os.urandom(8).hex()}", key := os.urandom(KEY_BYTES))
        wrapped = self._wrapping.wrap(tenant, made.key_id, key, one_run=subject.startswith(ONE_RUN))
        if await self._publish(tenant, subject_id, wrapped):
            return self._hold(tenant, subject_id, made)
        found = await self._stored(tenant, subject_id)
        if found is None or (tenant, found.key_id) in self._erased:
            raise Unavailable("LOG_UNREACHABLE", "this subject is being erased just now; try again")
        return self._hold(tenant, subject_id, found)

    async def of_key(self, tenant: str, key_id: str) -> Seal:
        if self._usable(tenant, key_id):
            self._held.move_to_end((tenant, key_id))
            return self._held[tenant, key_id]
        subject_id = key_id.partition("-")[0]
        found = None
        if (tenant, key_id) not in self._erased:
            found = await self._stored(tenant, subject_id)
        if found is None or found.key_id != key_id:
            raise Refused(
                "SUBJECT_ERASED", "the subject of these data was erased; they cannot be read any more"
            )
        return self._hold(tenant, subject_id, found)

    async def shown(self, tenant: str, text: str, inside: Callable[[str], str] | None = None) -> str:
        """`text` as it is told to somebody of `tenant`: opened, and `[erased]` where the key is gone.

        Raises:
            Unavailable: the keys cannot be reached.
        """
        ids = key_ids(text)
        return told(text, await self.seals(tenant, ids), inside)

    async def seals(self, tenant: str, wanted: set[str]) -> dict[str, Seal]:
        """Those of `wanted` that are not gone, by key id."""
        found: dict[str, Seal] = {}
        for key_id in wanted:
            try:
                found[key_id] = await self.of_key(tenant, key_id)
            except Refused:
                continue
        return found

    async def key_of(self, tenant: str, subject_id: str) -> str:
        """The id of the key a subject has now; empty when it has none."""
        found = await self._get({"last_by_subj": f"key.{tenant}.{subject_id}"})
        return pb.SubjectKey.FromString(found[2]).key_id if found else ""

    async def of_runs_before(self, before: datetime) -> AsyncIterator[tuple[str, str, str]]:
        """Tenant, subject id and key id of each key of one run alone that was made before then, oldest first."""
        sequence = 1
        while found := await self._get({"seq": sequence, "next_by_subj": "key.>"}):
            sequence, kept = found[0] + 1, pb.SubjectKey.FromString(found[2])
            if kept.create_time.ToDatetime(tzinfo=UTC) >= before:
                return
            if kept.one_run:
                _, tenant, subject_id = found[1].split(".")
                yield tenant, subject_id, kept.key_id

    async def delete(self, tenant: str, subject_id: str, key_id: str) -> None:
        """Delete a key and overwrite its bytes; done also when it is not there, or the subject has another by now."""
        while True:
            found = await self._get({"last_by_subj": f"key.{tenant}.{subject_id}"})
            if found is None or pb.SubjectKey.FromString(found[2]).key_id != key_id:
                return
            # `no_erase` is what we do not say: the server overwrites the message before it lets go of it.
            answer = await call(self._connection, f"STREAM.MSG.DELETE.{KEYS}", {"seq": found[0]})
            if "error" in answer and answer["error"]["err_code"] != NO_MESSAGE:
                raise unreachable(answer["error"]["description"])

    async def _take(self, events: Sequence[Recorded]) -> None:
        for recorded in filter(is_event, events):
            try:
                erased = pb.ErasedKey.FromString(recorded.payload)
            except DecodeError:
                log.error("erasure cannot be read", sequence=recorded.sequence)
                continue
            tenant = recorded.stream.tenant
            self._erased.add((tenant, erased.key_id))
            self._held.pop((tenant, erased.key_id), None)
            self._ids.pop((tenant, erased.subject_id), None)
            for told_of in self._told:
                told_of(tenant, erased.key_id)

    def _usable(self, tenant: str, key_id: str) -> bool:
        return (tenant, key_id) in self._held and self._follower.stale_seconds < STALE_SECONDS

    def _hold(self, tenant: str, subject_id: str, seal: Seal) -> Seal:
        self._ids[tenant, subject_id] = seal.key_id
        self._held[tenant, seal.key_id] = seal
        while len(self._held) > MOST_HELD:
            gone = self._held.popitem(last=False)[0]
            self._ids.pop((gone[0], gone[1].partition("-")[0]), None)
        return seal

    async def _stored(self, tenant: str, subject_id: str) -> Seal | None:
        found = await self._get({"last_by_subj": f"key.{tenant}.{subject_id}"})
        return None if found is None else Seal(tenant, *self._wrapping.unwrap(tenant, found[2]))

    async def _publish(self, tenant: str, subject_id: str, payload: bytes) -> bool:
        """Whether it is the subject's key now; not when there is one already."""
        patience = Patience(STALE_SECONDS)
        lines = "Nats-Expected-Last-Subject-Sequence: 0\r\n"
        while True:
            try:
                header, answer = await self._connection.ask(
                    f"key.{tenant}.{subject_id}",
                    payload,
                    header=block(lines),
                    timeout_seconds=patience.try_seconds(),
                )
            except (NotConnected, AnswerLost) as problem:
                await patience.wait(self._connection, problem)
                continue
            if not header:
                error = json.loads(answer).get("error")
                if error is None:
                    return True
                if error["err_code"] in CONFLICTS:
                    return False
            await patience.wait(self._connection, None)

    async def _get(self, what: dict[str, object]) -> tuple[int, str, bytes] | None:
        """Sequence, subject and payload of a message, from the leader."""
        message = message_of(await call(self._connection, f"STREAM.MSG.GET.{KEYS}", what))
        if message is None:
            return None
        return message["seq"], message["subject"], base64.b64decode(message.get("data", ""))

    async def _ensure_stream(self) -> None:
        replicas = (await stream_state(self._connection)).replicas
        config = (await found_or_made(self._connection, {**_CONFIG, "num_replicas": replicas}))["config"]
        wrong = [name for name in ("max_age", "max_msgs", "storage") if config.get(name) != _CONFIG[name]]
        if wrong or config.get("deny_delete"):
            text = f"stream {KEYS} exists with other settings: it would lose keys by itself, or could not forget one"
            raise Refused("LOG_UNSAFE", text)
