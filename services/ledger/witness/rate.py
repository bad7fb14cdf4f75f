"""How often one caller may ask. Nobody shows a key here, so that the address is all there is to go by."""

from collections import OrderedDict

MAX_CALLERS = 1024


class Rate:
    """A token bucket for each caller: `per_second` on average, `burst` at once. Remembers the last 1,024 callers."""

    def __init__(self, per_second: float = 20.0, burst: float = 60.0) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, caller: str, at: float) -> bool:
        """Whether `caller` may ask at `at` (seconds that only grow)."""
        tokens, since = self._buckets.pop(caller, (self._burst, at))
        tokens = min(self._burst, tokens + (at - since) * self._per_second)
        allowed = tokens >= 1.0
        self._buckets[caller] = (tokens - 1.0 if allowed else tokens, at)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return allowed
