"""The paper calculation of `tests.bench.capacity`: where each kind of limit lies."""

import pytest

from tests.bench.capacity import BUSY, Cost, Single, capacity, cost


def test_what_every_replica_does_is_told_from_what_one_of_them_does() -> None:
    found = cost([(1, 0.0010), (2, 0.0012), (3, 0.0014)])
    assert found.shared == pytest.approx(0.0008)
    assert found.each == pytest.approx(0.0002)


def test_noise_makes_no_cost_negative() -> None:
    assert cost([(1, 0.003), (2, 0.002), (3, 0.001)]) == Cost(shared=0.002, each=0.0)
    steep = cost([(1, 0.0), (2, 0.001), (3, 0.005)])
    assert steep.shared >= 0.0


def test_a_part_of_which_one_works_ends_at_one_core() -> None:
    found = capacity({"policy": Cost(0.001, 0.0)}, {"store": Single(0.001)}, cores=24)
    assert found.limit == "one core of store"
    assert found.per_second == pytest.approx(BUSY / 0.001, abs=0.1)
    assert found.replicas == {"policy": 1}


def test_a_server_with_threads_ends_at_the_cores_of_its_machine() -> None:
    found = capacity({"policy": Cost(0.00001, 0.0)}, {"nats": Single(0.001, cores=8)}, cores=24)
    assert found.limit == "the 8 cores of nats"
    assert found.per_second == pytest.approx(8 * BUSY / 0.001, abs=0.1)


def test_what_every_replica_does_is_a_limit_that_replicas_do_not_lift() -> None:
    found = capacity({"state": Cost(0.0, 0.002)}, {}, cores=1000)
    assert found.limit == "what every replica of state does"
    assert found.per_second == pytest.approx(BUSY / 0.002, abs=0.1)


def test_all_cores_together_are_a_limit() -> None:
    found = capacity({"policy": Cost(0.001, 0.0), "gateway": Cost(0.002, 0.0)}, {}, cores=24)
    assert found.limit == "24 cores"
    assert found.per_second == pytest.approx(BUSY * 24 / 0.003, rel=0.001)
    assert found.replicas == {"policy": 8, "gateway": 16}
