"""How old what state answered may be. A state that cannot reach the event log answers with what it knew, and says so.

    with staleness() as told:
        agent = await provost.get_agent_state("sre-1")
    if told.seconds:
        print(f"as of {told.seconds} s ago")

Answers are the messages of the protos and cannot say it themselves: it comes besides them, in trailing metadata.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_KEY = "provost-stale-seconds"


@dataclass(slots=True)
class Staleness:
    """`seconds`: for so long had a state that answered not been at the end of the log, the most of all answers.

    0 when all were fresh: none was older than five seconds.
    """

    seconds: int = 0


_listening: ContextVar[tuple[Staleness, ...]] = ContextVar("provost_staleness", default=())


@contextmanager
def staleness() -> Iterator[Staleness]:
    """How old the answers to the calls made inside may be, those refused and those made by tasks begun inside too.

    What a watch tells is not among them: one that goes on misses nothing.
    """
    told = Staleness()
    token = _listening.set((*_listening.get(), told))
    try:
        yield told
    finally:
        _listening.reset(token)


def heard(metadata: Iterable[tuple[str, str | bytes]] | None) -> int:
    """For how many seconds the answer with this metadata says that it may be old, 0 if it does not; whoever listens
    is told."""
    said = next((value for key, value in metadata or () if key == _KEY), "")
    seconds = int(said) if isinstance(said, str) and said.isdecimal() else 0
    for each in _listening.get():
        each.seconds = max(each.seconds, seconds)
    return seconds
