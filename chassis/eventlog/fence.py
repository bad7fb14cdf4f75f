"""A fence around the event log: while it stands the server itself takes no event from anybody; reading goes on.

The stream then listens on a subject of its own and turns what comes in there into events, byte for byte: whoever
repairs the log writes through that gate, and nobody else can write between. The fence is part of the stream's
configuration, so that it outlives every process.
"""

import json

from chassis.eventlog.api import call, check_answer
from chassis.eventlog.stream import EVENTS, FENCE, SUBJECTS, fence_of
from chassis.eventlog.wire import Connection
from kernel.faults import Unavailable

_GATE = "repair."


async def fenced(connection: Connection) -> str:
    """Why the log is fenced, empty when it is not. Raises Unavailable: no answer."""
    answer = await call(connection, f"STREAM.INFO.{EVENTS}")
    check_answer(answer)
    return fence_of(answer["config"])


async def fence(connection: Connection, why: str) -> None:
    """From when this returns, nothing can be appended. Safe to repeat; the first reason stands.

    Raises:
        Unavailable: no answer.
    """
    answer = await call(connection, f"STREAM.INFO.{EVENTS}")
    check_answer(answer)
    config = answer["config"]
    if fence_of(config):
        return
    changed = config | {
        "subjects": [_GATE + SUBJECTS],
        "subject_transform": {"src": _GATE + SUBJECTS, "dest": SUBJECTS},
        "metadata": {**config.get("metadata", {}), FENCE: why},
    }
    check_answer(await call(connection, f"STREAM.UPDATE.{EVENTS}", changed))


async def lift(connection: Connection) -> None:
    """Events are taken again. Safe to repeat. Raises Unavailable: no answer."""
    answer = await call(connection, f"STREAM.INFO.{EVENTS}")
    check_answer(answer)
    config = answer["config"]
    if not fence_of(config):
        return
    kept = {name: value for name, value in config["metadata"].items() if name != FENCE}
    changed = config | {"subjects": [SUBJECTS], "metadata": kept}
    del changed["subject_transform"]
    check_answer(await call(connection, f"STREAM.UPDATE.{EVENTS}", changed))


async def write_through(
    connection: Connection, subject: str, header: bytes, payload: bytes
) -> tuple[int, str]:
    """Publish an event as it was, past the fence: its sequence, and why it was refused (then the sequence is 0).

    Part of a batch that is not its last is answered with 0 and no reason.

    Raises:
        NotConnected, AnswerLost: as `Connection.ask`; the second leaves open whether it was written.
        Unavailable: the log is not fenced, or there is no leader.
    """
    status, answer = await connection.ask(_GATE + subject, payload, header=header, timeout_seconds=5.0)
    if status:
        raise Unavailable("LOG_UNREACHABLE", "nobody takes repaired events now; try again")
    if not answer:
        return 0, ""
    told = json.loads(answer)
    if "error" in told:
        return 0, str(told["error"]["description"])
    return int(told["seq"]), "the log knows its id already" if told.get("duplicate") else ""
