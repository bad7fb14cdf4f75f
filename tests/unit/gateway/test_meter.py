"""The token bucket in memory, which counts while the store is away; the store's own is tested against a real one."""

import pytest

from services.gateway.adapters.meter import MAX_LOCAL_BUCKETS, LocalBuckets


def test_so_many_at_once_and_then_at_the_rate() -> None:
    buckets = LocalBuckets(requests=3, window_seconds=60)
    assert [buckets.take("k", 0.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("k", 0.0) == pytest.approx(20)
    assert buckets.take("k", 19.0) == pytest.approx(1)
    assert buckets.take("k", 20.5) == 0
    assert buckets.take("k", 20.5) > 0


def test_a_bucket_never_holds_more_than_it_can() -> None:
    buckets = LocalBuckets(requests=2, window_seconds=1)
    assert buckets.take("k", 0.0) == 0
    assert [buckets.take("k", 1_000.0) == 0 for _ in range(3)] == [True, True, False]


def test_a_bucket_for_many_holds_so_many_times_as_much() -> None:
    buckets = LocalBuckets(requests=2, window_seconds=60)
    assert [buckets.take("many", 0.0, 3) == 0 for _ in range(7)] == [True] * 6 + [False]
    assert buckets.take("many", 0.0, 3) == pytest.approx(10)


def test_keys_do_not_share() -> None:
    buckets = LocalBuckets(requests=1, window_seconds=60)
    assert buckets.take("a", 0.0) == buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.0) > 0


def test_memory_is_bounded() -> None:
    buckets = LocalBuckets(requests=1, window_seconds=60)
    for n in range(MAX_LOCAL_BUCKETS + 100):
        buckets.take(str(n), 0.0)
    assert len(buckets._kept) == MAX_LOCAL_BUCKETS
