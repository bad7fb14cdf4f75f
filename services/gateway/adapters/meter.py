"""Token buckets in the store, one for each key, shared by all replicas; of our own while the store is away."""

from collections import OrderedDict

import redis.asyncio
from prometheus_client import Counter
from redis.exceptions import RedisClusterException, RedisError

from chassis import process, telemetry

# The store's own clock, so that replicas agree. Answers 0, or the milliseconds until a token is there.
_TAKE = """
local capacity, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1]) or capacity, tonumber(kept[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * capacity / window_ms)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = math.ceil((1 - tokens) * window_ms / capacity) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(window_ms))
return wait
"""
FALLBACKS = Counter(
    "provost_ratelimit_fallbacks", "Requests counted in this process alone because the store was away."
)
RETRY_SECONDS = 1.0
MAX_LOCAL_BUCKETS = 10_000

_log = telemetry.get_logger("gateway.meter")


class LocalBuckets:
    """The same buckets in memory, the least used forgotten first."""

    def __init__(self, requests: int, window_seconds: float) -> None:
        self._capacity, self._per_second = float(requests), requests / window_seconds
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, bucket: str, now: float, times: int = 1) -> float:
        """0, or the seconds until a token is there; `now` in seconds that only grow. It holds `times` as many."""
        capacity, per_second = self._capacity * times, self._per_second * times
        tokens, at = self._kept.pop(bucket, (capacity, now))
        tokens = min(capacity, tokens + (now - at) * per_second)
        wait = 0.0
        if tokens >= 1:
            tokens -= 1
        else:
            wait = (1 - tokens) / per_second
        self._kept[bucket] = (tokens, now)
        if len(self._kept) > MAX_LOCAL_BUCKETS:
            self._kept.popitem(last=False)
        return wait


class StoreMeter:
    """Implements `ports.Meter`: `requests` at once, refilled over `window_seconds`; 0 requests means no limit."""

    def __init__(self, store: redis.asyncio.Redis, requests: int, window_seconds: float) -> None:
        self._take = store.register_script(_TAKE)
        self._requests, self._window_ms = requests, int(window_seconds * 1000)
        self._unlimited = requests == 0
        self._local = LocalBuckets(max(1, requests), window_seconds)
        self._away_until = 0.0

    async def take(self, bucket: str, times: int = 1) -> float:
        if self._unlimited:
            return 0.0
        now = process.monotonic()
        if now >= self._away_until:
            try:
                arguments = self._requests * times, self._window_ms
                waits: int = await self._take(keys=[f"ratelimit:{{{bucket}}}"], args=arguments)
                return waits / 1000
            except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
                self._away_until = process.monotonic() + RETRY_SECONDS
                _log.warning("the store is away; requests are counted here alone", why=type(error).__name__)
        FALLBACKS.inc()
        return self._local.take(bucket, process.monotonic(), times)
