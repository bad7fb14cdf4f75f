"""A simulation as server-sent events: `progress` again and again, then `done`, or `problem` if it ended halfway."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import TypeAdapter

from kernel.faults import Fault
from services.gateway.domain.rules import Simulated
from services.gateway.web.problems import problem_of

_SIMULATED: TypeAdapter[Simulated] = TypeAdapter(Simulated)


async def as_lines(first: Simulated, telling: AsyncGenerator[Simulated, None]) -> AsyncGenerator[bytes, None]:
    """Each as one event; a fault is the last one."""
    yield _line(first)
    try:
        async with aclosing(telling):
            async for each in telling:
                yield _line(each)
    except Fault as fault:
        yield b"event: problem\ndata: %b\n\n" % problem_of(fault).model_dump_json().encode()


def _line(said: Simulated) -> bytes:
    kind = b"done" if said.done else b"progress"
    return b"event: %b\ndata: %b\n\n" % (kind, _SIMULATED.dump_json(said))
