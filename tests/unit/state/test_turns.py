"""Turns at locks are bounded, of one and of all together, and who is not let in leaves nothing behind."""

from contextlib import ExitStack

import pytest

from services.state.domain.faults import TooManyWait
from services.state.handlers import turns
from services.state.handlers.turns import Turns


def test_so_many_wait_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_WAITING_IN_ALL", 3)
    every = Turns()
    with ExitStack() as waiting:
        for n in range(3):
            waiting.enter_context(every.joined(("default", f"sre-{n}"), "run-1"))
        with pytest.raises(TooManyWait) as caught, every.joined(("default", "sre-9"), "run-1"):
            pass
        assert caught.value.text.startswith("3 wait for locks here already")
        assert len(every._queues) == 3
    with every.joined(("default", "sre-9"), "run-1") as turn:
        assert turn.first
    assert not every._queues
