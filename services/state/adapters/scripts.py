"""The script that changes what lies in the store, and what it is given.

Every key is declared, there is no module and no command that Valkey, Redis or DragonflyDB lacks.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.state.domain.documents import Document, Fields, Listing, tag_of
from services.state.domain.view import Part, Place

GRACE = timedelta(seconds=5)
"""How much longer than its lease a lock's key lives: clocks differ, and what counts is the time inside it."""
_NEVER = 2**62

# One call per hash tag. KEYS: the guards of that tag (a hash: part -> sequence of the event it was last written for),
# then one key per document. ARGV, per document: part, sequence, kind, milliseconds to live (0: for ever, less: gone),
# how many values, the values. Answers the numbers (from 1) of the lists whose earlier items are missing, and of the
# tables that are not as far as the fields that have changed suppose: not there, or filled by one who was behind.
APPLY = """
local missing = {}
local a = 1
for k = 2, #KEYS do
  local key, part, sequence, kind = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local ttl, count = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local first, last = a + 5, a + 4 + count
  local known = tonumber(redis.call('HGET', KEYS[1], part) or '0') or 0
  a = last + 1
  if kind == 'beat' then
    local beaten = redis.call('GET', key)
    if beaten and (redis.call('PTTL', key) < 0 or not string.match(beaten, '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d')) then
      beaten = false -- nobody of us has written that
    end
    if ttl > 0 and (not beaten or beaten < ARGV[first]) then
      redis.call('SET', key, ARGV[first], 'PX', ttl)
    end
  elseif tonumber(sequence) > known or (kind == 'hash' and tonumber(sequence) == known) then
    local done = true
    if kind == 'list' then
      local offset, length = tonumber(ARGV[first]), redis.call('LLEN', key)
      if length < offset then
        missing[#missing + 1] = k - 1
        done = false
      else
        for i = first + 1 + length - offset, last do redis.call('RPUSH', key, ARGV[i]) end
      end
    elseif kind == 'fields' and known < tonumber(ARGV[first]) then
      missing[#missing + 1] = k - 1
      done = false
    elseif kind == 'fields' then
      local sets = first + 1 + 2 * tonumber(ARGV[first + 1])
      for i = first + 2, sets, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
      for i = sets + 1, last do redis.call('HDEL', key, ARGV[i]) end
    elseif kind == 'text' and ttl == 0 then
      redis.call('SET', key, ARGV[first])
    elseif kind == 'text' and ttl > 0 then
      redis.call('SET', key, ARGV[first], 'PX', ttl)
    else
      redis.call('DEL', key)
      if kind == 'hash' then
        for i = first, last, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
      elseif kind == 'set' then
        for i = first, last do redis.call('SADD', key, ARGV[i]) end
      end
    end
    if done then redis.call('HSET', KEYS[1], part, sequence) end
  end
end
return missing
"""


def guard_of(place: Place) -> str:
    """The key of the guards of all that has the same hash tag."""
    return f"applied:{{{tag_of(place)}}}"


def arguments(
    documents: Sequence[Document], at: datetime, written: Mapping[Place, int]
) -> tuple[list[str], list[Any]]:
    """Keys and arguments of one call of `APPLY`; the documents share a hash tag."""
    keys = [guard_of(documents[0].place), *(document.key for document in documents)]
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
