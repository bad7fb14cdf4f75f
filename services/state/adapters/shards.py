"""How a node of a cluster that has come back empty is noticed: the store's position lies on one of them alone."""

from functools import cache
from itertools import count

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

MARKS = 256


@cache
def shard_marks() -> tuple[str, ...]:
    """Keys in 256 slots that lie evenly between all: each node has some of them, unless it has next to no slots."""
    step = REDIS_CLUSTER_HASH_SLOTS // MARKS
    found: dict[int, str] = {}
    for n in count():
        key = f"applied:{{shard-{n}}}:mark"
        found.setdefault(key_slot(key.encode()) // step, key)
        if len(found) == MARKS:
            return tuple(found.values())
    raise AssertionError("there is no end to numbers")
