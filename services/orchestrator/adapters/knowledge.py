"""What earlier runs knew, in SQLite: a projection of the event log that may be deleted whenever it is not in use.

It is fed by a follower of its own and keeps its position in the same transaction as what follows from the events up to
there; missing, older than this program, or made from another log, it is made anew from the log. One thread has the
connection; the event loop never waits for the disk.

What it keeps of a run's texts is hashes under a key of ours, and the run's last words as they were published: sealed.
When a subject is erased, so is every row that its runs had a part in, its bytes overwritten.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import structlog
from google.protobuf.message import DecodeError

from chassis.eventlog.follower import Follower
from chassis.eventlog.headers import is_event
from chassis.eventlog.stream import read_at
from chassis.eventlog.subject_keys import ERASURES
from chassis.eventlog.wire import Connection
from chassis.sealing import Seal, key_ids, told
from kernel.events import Recorded
from kernel.faults import Unavailable
from provost.event.v1 import privacy_pb2
from provost.orchestrator.v1 import events_pb2, orchestrator_pb2
from services.orchestrator.domain import knowledge as know
from services.orchestrator.domain.records import EffectState, Incident, PastAction, PastIncident

_LEARNT = ("PlanRecorded", "EffectsObserved", "RunEnded")
FILTERS = (*(f"evt.*.orchestrator.run.*.{name}" for name in _LEARNT), ERASURES)
AGAIN_SECONDS = 1.0
_OURS, _SCHEMA_VERSION = 0x50564B31, 4
_NEWEST, _MOST_WAITING = 50, 500
_NOW = ("RunEnded", "SubjectErased")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATES = {
    number: EffectState(name.removeprefix("EFFECT_STATE_"))
    for name, number in orchestrator_pb2.EffectState.items()
    if number
}
_SCHEMA = f"""
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS position;
DROP TABLE IF EXISTS running;
DROP TABLE IF EXISTS incident;
DROP TABLE IF EXISTS taught;
CREATE TABLE position (id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, event_id TEXT NOT NULL) STRICT;
CREATE TABLE running (tenant TEXT, run_id TEXT, cause TEXT NOT NULL, templates TEXT NOT NULL, actions TEXT NOT NULL,
    effects TEXT NOT NULL, key_id TEXT NOT NULL, PRIMARY KEY (tenant, run_id)) STRICT, WITHOUT ROWID;
CREATE TABLE taught (tenant TEXT, key_id TEXT, cause TEXT, signature TEXT,
    PRIMARY KEY (tenant, key_id, cause, signature)) STRICT, WITHOUT ROWID;
CREATE TABLE incident (tenant TEXT, cause TEXT, signature TEXT, templates TEXT NOT NULL, seen INTEGER NOT NULL,
    run_id TEXT NOT NULL, ended_us INTEGER NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL, tried TEXT NOT NULL,
    sequence INTEGER NOT NULL, PRIMARY KEY (tenant, cause, signature)) STRICT, WITHOUT ROWID;
CREATE INDEX incident_newest ON incident (tenant, cause, sequence);
PRAGMA application_id = {_OURS};
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""
# The very same incident however long ago, and the newest of the same cause: one index each.
_ALIKE = """
SELECT * FROM incident WHERE tenant = ?1 AND cause = ?2 AND signature = ?3
UNION ALL
SELECT * FROM (SELECT * FROM incident WHERE tenant = ?1 AND cause = ?2 AND signature <> ?3
    ORDER BY sequence DESC LIMIT ?4)
"""

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Keys(Protocol):
    """What is needed of the keys of subjects."""

    async def seals(self, tenant: str, wanted: set[str]) -> dict[str, Seal]:
        """Those that are not gone, by key id."""
        ...

    def pepper(self, purpose: str) -> bytes:
        """32 bytes that stay the same."""
        ...


class SqliteKnowledge:
    """Implements `ports.Knowledge`; `take` is what its follower delivers `FILTERS` to."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self._path = path
        self._keys = keys
        self._seals: dict[str, Seal] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="knowledge")
        self._db: sqlite3.Connection
        self._follower: Follower | None = None
        self._waiting: list[Recorded] = []

    async def follow(self, nats: Connection) -> None:
        """Open the file, and learn from the log from where it was left.

        Raises:
            ValueError: the file cannot be used, or is somebody else's.
        """
        known = await self.begin(partial(read_at, nats))
        self._follower = Follower(nats, FILTERS, known, self.take, "knowledge", gather_seconds=0.05)
        await self._follower.start()

    async def begin(self, event_at: Callable[[int], Awaitable[Recorded | None]]) -> int:
        """Open the file. Returns the sequence behind which the log is still to be read; raises as `follow`."""
        position, event_id = await self._do(self._open)
        if not position:
            return 0
        kept = await event_at(position)
        if kept is not None and kept.event_id == event_id:
            return position
        log.warning("knowledge is made anew: it was made from another log", position=position)
        await self._do(self._forget)
        return 0

    async def take(self, events: Sequence[Recorded]) -> None:
        """Learn from `events`; while there is no room on disk, wait for it."""
        self._waiting += events
        # One transaction when a run has ended, not one for each of its events; what is lost here is read again.
        ends = [n for n, each in enumerate(self._waiting, 1) if each.event_type in _NOW]
        upto = len(self._waiting) if len(self._waiting) > _MOST_WAITING else max(ends, default=0)
        while upto:
            try:
                self._seals = await self._needed(self._waiting[:upto])
                await self._do(self._keep, self._waiting[:upto])
                del self._waiting[:upto]
                return
            except (sqlite3.OperationalError, Unavailable) as problem:
                log.warning("knowledge not kept yet", why=str(problem))
                await asyncio.sleep(AGAIN_SECONDS)

    async def _needed(self, events: Sequence[Recorded]) -> dict[str, Seal]:
        found: dict[str, Seal] = {}
        for recorded in filter(is_event, events):
            if recorded.event_type == "PlanRecorded" and (ids := key_ids(recorded.payload.decode("latin-1"))):
                found |= await self._keys.seals(recorded.stream.tenant, ids)
        return found

    def _hashes(self, templates: Iterable[str]) -> frozenset[str]:
        return know.template_hashes(templates, self._keys.pepper("knowledge"))

    async def similar(self, tenant: str, incident: Incident) -> tuple[PastIncident, ...]:
        if incident.cause == know.NOTHING_WRONG:
            return ()
        templates = self._hashes(pattern.template for pattern in incident.patterns)
        try:
            return await self._do(self._similar, tenant, incident.cause, templates)
        except sqlite3.Error as problem:
            log.warning("knowledge cannot be read; the run goes on without it", why=str(problem))
            return ()

    async def close(self) -> None:
        if self._follower is not None:
            await self._follower.stop()
        await self._do(self._db.close)
        self._thread.shutdown()

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def _open(self) -> tuple[int, str]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._db = db = sqlite3.connect(self._path, isolation_level=None)
            ours = db.execute("PRAGMA application_id").fetchone()[0] == _OURS
            if not ours and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ValueError("it was not made by Provost")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA secure_delete = ON")
            if db.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
                self._forget()
            return db.execute("SELECT sequence, event_id FROM position").fetchone() or (0, "")
        except (sqlite3.Error, OSError, ValueError) as problem:
            raise ValueError(f"DB_PATH {self._path}: {problem}; name another file or move this one") from None

    def _forget(self) -> None:
        self._db.executescript(_SCHEMA)

    def _keep(self, events: Sequence[Recorded]) -> None:
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            position = db.execute("SELECT coalesce(max(sequence), 0) FROM position").fetchone()[0]
            row: tuple[int, str] | None = None
            for recorded in events:
                if recorded.sequence <= position:
                    continue
                position = recorded.sequence
                try:
                    if is_event(recorded):
                        self._learn(recorded)
                except DecodeError:
                    log.error("event cannot be read", subject=recorded.subject, sequence=position)
                row = (position, recorded.event_id)
            if row:
                db.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?)", row)
        if any(each.event_type == "SubjectErased" for each in events):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what was deleted stands in the journal until then

    def _learn(self, recorded: Recorded) -> None:
        run, payload = (recorded.stream.tenant, recorded.stream.id), recorded.payload
        if recorded.event_type == "SubjectErased":
            self._erase(run[0], privacy_pb2.ErasedKey.FromString(payload).key_id)
        if recorded.event_type == "PlanRecorded":
            self._plan(run, events_pb2.PlanRecorded.FromString(payload))
        elif recorded.event_type == "EffectsObserved":
            self._effects(run, events_pb2.EffectsObserved.FromString(payload))
        elif recorded.event_type == "RunEnded":
            self._end(run, events_pb2.RunEnded.FromString(payload), recorded.sequence)

    def _plan(self, run: tuple[str, str], plan: events_pb2.PlanRecorded) -> None:
        if plan.incident.cause in ("", know.NOTHING_WRONG):
            return
        sealed = [pattern.template for pattern in plan.incident.patterns]
        ids = {key_id for each in sealed for key_id in key_ids(each)}
        if not ids <= self._seals.keys():
            return  # erased
        templates = self._hashes(told(each, self._seals) for each in sealed)
        names = {planned.action.action_id: planned.action.name for planned in plan.plan}
        row = (*run, plan.incident.cause, " ".join(sorted(templates)), json.dumps(names), "{}")
        self._db.execute(
            "INSERT OR REPLACE INTO running VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, min(ids, default=""))
        )

    def _effects(self, run: tuple[str, str], observed: events_pb2.EffectsObserved) -> None:
        seen = json.dumps({each.action_id: [each.state, each.changed] for each in observed.effects})
        self._db.execute(
            "UPDATE running SET effects = json_patch(effects, ?) WHERE tenant = ? AND run_id = ?",
            (seen, *run),
        )

    def _end(self, run: tuple[str, str], ended: events_pb2.RunEnded, sequence: int) -> None:
        gone = "DELETE FROM running WHERE tenant = ? AND run_id = ? RETURNING *"
        row = self._db.execute(gone, run).fetchone()
        if row is None:
            return  # it had met no incident
        cause, templates, names, effects, key_id = row[2:]
        key = (run[0], cause, know.signature(frozenset(templates.split())))
        before = self._db.execute(
            "SELECT seen, tried FROM incident WHERE tenant = ? AND cause = ? AND signature = ?", key
        ).fetchone() or (0, "[]")
        came_of = {
            action_id: (_STATES.get(state, EffectState.UNKNOWN), changed)
            for action_id, (state, changed) in json.loads(effects).items()
        }
        tried = know.tried(_actions(before[1]), json.loads(names), came_of, ended.compliant)
        at = ended.at.ToMicroseconds()
        kept = [[a.name, a.previewed, a.succeeded, a.failed, a.helped] for a in tried]
        outcome = ended.outcome if key_ids(ended.outcome) else know.inert(ended.outcome)
        said = (know.inert(ended.reason), outcome, json.dumps(kept))
        if key_id:
            self._db.execute("INSERT OR IGNORE INTO taught VALUES (?, ?, ?, ?)", (run[0], key_id, *key[1:]))
        self._db.execute(
            "INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, templates, before[0] + 1, run[1], at, *said, sequence),
        )

    def _erase(self, tenant: str, key_id: str) -> None:
        of_subject = (tenant, key_id)
        self._db.execute(
            "DELETE FROM incident WHERE (tenant, cause, signature) IN "
            "(SELECT tenant, cause, signature FROM taught WHERE tenant = ? AND key_id = ?)",
            of_subject,
        )
        self._db.execute("DELETE FROM taught WHERE tenant = ? AND key_id = ?", of_subject)
        self._db.execute("DELETE FROM running WHERE tenant = ? AND key_id = ?", of_subject)

    def _similar(self, tenant: str, cause: str, templates: frozenset[str]) -> tuple[PastIncident, ...]:
        rows = self._db.execute(_ALIKE, (tenant, cause, know.signature(templates), _NEWEST)).fetchall()
        close = know.closest(templates, ((frozenset(row[3].split()), row) for row in rows))
        return tuple(_past(similarity, row) for similarity, row in close)


def _past(similarity: float, row: Sequence[Any]) -> PastIncident:
    seen, run_id, ended_us, reason, outcome, tried, _ = row[4:]
    ended = _EPOCH + timedelta(microseconds=ended_us)
    return PastIncident(similarity, seen, run_id, ended, reason, outcome, _actions(tried))


def _actions(tried: str) -> tuple[PastAction, ...]:
    return tuple(PastAction(*each) for each in json.loads(tried))
