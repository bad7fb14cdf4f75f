"""The Redis-protocol store behind the `Store` port: Valkey, Redis or DragonflyDB, unchanged."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import wraps
from itertools import groupby
from typing import Any, ParamSpec, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from chassis.telemetry import get_logger
from services.state.adapters.scripts import ADVANCE, APPLY
from services.state.domain.documents import Content, Document, Fields, Listing, key_of, tag_of
from services.state.domain.faults import StoreUnreachable
from services.state.domain.tables import TABLES
from services.state.domain.view import Part, Place
from services.state.ports import Field, Items, Length, Named, Names, Reading, Table, Text, Value, Want

P = ParamSpec("P")
T = TypeVar("T")

POSITION, MARK = "applied:{log}:position", "applied:{log}:filling"
FORMAT, FORMATTED = "applied:{log}:format", "2"
"""How things lie in the store. What an older program has left is not read: it is wiped, and filled from the log."""
DERIVED = (
    "agent:{*",
    "task:{*",
    "handoff:{*",
    "revocations:{*",
    "blackboard:{*",
    "msg:{*",
    "checkpoint:{*",
)
GUARDS = "applied:{*"
GRACE = timedelta(seconds=5)
"""How much longer than its lease a lock's key lives: clocks differ, and what counts is the time inside it."""
_DOCUMENTS_AT_ONCE = 500
_NEVER = 2**62
_log = get_logger("state.store")


def _reaching(method: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(method)
    async def reaching(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except (RedisError, OSError, TimeoutError) as problem:
            _log.debug("store does not answer", why=str(problem))
            raise StoreUnreachable from problem

    return reaching


class RedisStore:
    """Implements `services.state.ports.Store`."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._written: dict[Place, int] = {}
        """Up to where this process has written each table: its changes are good for one that is at least as far."""

    @_reaching
    async def read(self, wants: Sequence[Want]) -> Reading:
        async with self._pipeline() as pipe:
            for want in wants:
                key = key_of(want.place)
                match want:
                    case Text():
                        pipe.get(key)
                    case Table():
                        pipe.hgetall(key)
                    case Field(place=place):
                        pipe.hget(key, place.name)
                    case Named(names=names):
                        pipe.hmget(key, names)
                    case Names():
                        pipe.hkeys(key)
                    case Items(first=first, last=last):
                        pipe.lrange(key, first, last)
                    case Length():
                        pipe.llen(key)
            pipe.get(POSITION)
            *values, position = await pipe.execute()
        answers: list[Value] = values
        return Reading(answers, None if position is None else int(position))

    @_reaching
    async def write(self, documents: Sequence[Document], at: datetime) -> Sequence[Place]:
        ordered = sorted(documents, key=lambda document: tag_of(document.place))
        missing: list[Place] = []
        for start in range(0, len(ordered), _DOCUMENTS_AT_ONCE):
            some = ordered[start : start + _DOCUMENTS_AT_ONCE]
            calls = [list(same) for _, same in groupby(some, key=lambda document: tag_of(document.place))]
            answers = await self._run(APPLY, [_arguments(same, at, self._written) for same in calls])
            missing += [
                same[number - 1].place
                for same, numbers in zip(calls, answers, strict=True)
                for number in numbers
            ]
        self._written |= {each.place: each.sequence for each in ordered if each.place.part in TABLES}
        return missing

    @_reaching
    async def position(self) -> int | None:
        position, formatted = await self._client.mget(POSITION, FORMAT)
        return None if position is None or formatted != FORMATTED else int(position)

    @_reaching
    async def advance(self, known: int, to: int) -> bool:
        return await self._move(str(known), "", to)

    @_reaching
    async def begin_fill(self, mark: str) -> None:
        if await self._client.get(FORMAT) != FORMATTED:
            await self.wipe()
            await self._client.set(FORMAT, FORMATTED)
        await self._client.set(MARK, mark)

    @_reaching
    async def finish_fill(self, mark: str, to: int) -> bool:
        return await self._move("", mark, to)

    @_reaching
    async def wipe(self) -> None:
        # The position goes first: from then on nobody takes what is left for whole.
        await self._client.delete(POSITION, MARK, FORMAT)
        for pattern in (*DERIVED, GUARDS):
            async for keys in self._keys(pattern):
                await self._client.delete(*keys)

    @_reaching
    async def dump(self) -> Mapping[str, Content]:
        found: dict[str, Content] = {}
        for pattern in DERIVED:
            async for keys in self._keys(pattern):
                found |= await self._contents(keys)
        return found

    async def _move(self, known: str, mark: str, to: int) -> bool:
        (answer,) = await self._run(ADVANCE, [([POSITION, MARK], [known, mark, to])])
        return bool(answer)

    async def _run(self, script: str, calls: Sequence[tuple[list[str], list[Any]]]) -> list[Any]:
        """One answer per call, in one round trip; the script is loaded where it is not known."""
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        for attempt in range(2):
            async with self._pipeline() as pipe:
                for keys, arguments in calls:
                    pipe.evalsha(sha, len(keys), *keys, *arguments)
                answers: list[Any] = await pipe.execute(raise_on_error=False)
            problems = [answer for answer in answers if isinstance(answer, Exception)]
            if not problems:
                return answers
            if attempt or not all(isinstance(problem, NoScriptError) for problem in problems):
                raise problems[0]
            await self._client.script_load(script)
        raise AssertionError("the second attempt answers or raises")

    @asynccontextmanager
    async def _pipeline(self) -> AsyncIterator[Any]:
        # redis-py's types speak of the sync and the async client at once.
        async with self._client.pipeline(transaction=False) as pipe:
            yield pipe

    async def _keys(self, pattern: str) -> AsyncIterator[list[str]]:
        cursor = 0
        while True:
            keys: Any  # text, because the client decodes answers; its types do not know
            cursor, keys = await self._client.scan(cursor, match=pattern, count=1000)
            if keys:
                yield keys
            if cursor == 0:
                return

    async def _contents(self, keys: Sequence[str]) -> dict[str, Content]:
        async with self._pipeline() as pipe:
            for key in keys:
                pipe.type(key)
            kinds = await pipe.execute()
        async with self._pipeline() as pipe:
            for key, kind in zip(keys, kinds, strict=True):
                _ask(pipe, key, kind)
            answers = iter(await pipe.execute())
        found: dict[str, Content] = {}
        for key, kind in zip(keys, kinds, strict=True):
            if kind in _READERS:
                found[key] = _READERS[kind](next(answers))
        return found


_READERS: dict[str, Callable[[Any], Content]] = {
    "string": lambda answer: answer,
    "hash": dict,
    "set": frozenset,
    "list": lambda answer: Listing(0, tuple(answer)),
}


def _ask(pipe: Any, key: str, kind: str) -> None:
    match kind:
        case "string":
            pipe.get(key)
        case "hash":
            pipe.hgetall(key)
        case "set":
            pipe.smembers(key)
        case "list":
            pipe.lrange(key, 0, -1)
        case _:
            pass  # gone since it was listed


def _arguments(
    documents: Sequence[Document], at: datetime, written: Mapping[Place, int]
) -> tuple[list[str], list[Any]]:
    """Keys and arguments of one call of `APPLY`; the documents share a hash tag."""
    keys = [f"applied:{{{tag_of(documents[0].place)}}}", *(document.key for document in documents)]
    return keys, [
        argument
        for document in documents
        for argument in _document(document, at, written.get(document.place, _NEVER))
    ]


def _document(document: Document, at: datetime, since: int) -> Iterator[Any]:
    kind, values = _values(document, since)
    yield from (document.place.part, document.sequence, kind, _milliseconds(document, at), len(values))
    yield from values


def _values(document: Document, since: int) -> tuple[str, Sequence[str]]:
    match document.content:
        case None:
            return "none", ()
        case Listing(offset=offset, items=items):
            return "list", (str(offset), *items)
        case Fields(changed=changed):
            sets = {name: text for name, text in changed.items() if text is not None}
            gone = [name for name in changed if name not in sets]
            return "fields", (
                str(since),
                str(len(sets)),
                *(each for pair in sets.items() for each in pair),
                *gone,
            )
        case frozenset() as members:
            return "set", sorted(members)
        case str() as text:
            return ("beat" if document.place.part in (Part.HEARTBEAT, Part.ACTIVITY) else "text"), (text,)
        case table:
            return "hash", [each for pair in table.items() for each in pair]


def _milliseconds(document: Document, at: datetime) -> int:
    if document.expire_time is None:
        return 0
    grace = GRACE if document.place.part is Part.LOCK else timedelta()
    left = (document.expire_time + grace - at) // timedelta(milliseconds=1)
    return left if left > 0 else -1
