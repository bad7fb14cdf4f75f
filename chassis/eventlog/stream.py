"""The one JetStream stream: how it is made, and the few questions that are asked of it."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from chassis import metrics
from chassis.eventlog.api import (
    PATIENCE_SECONDS,
    Patience,
    call,
    check_answer,
    found_or_made,
    message_of,
    unreachable,
)
from chassis.eventlog.headers import Headers
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected
from kernel.events import Recorded
from kernel.faults import Refused, Unavailable

_log = structlog.get_logger("chassis.eventlog")
EVENTS = "EVENTS"
SUBJECTS = "evt.>"
DUPLICATE_WINDOW_SECONDS = 300
UNLIMITED = -1
"""No size of its own: the stream grows until NATS' `max_file_store` is reached."""

FENCE = "provost-fence"
"""Where the stream's metadata say why nobody may append: see `chassis.eventlog.fence`."""

_HEARD_NS = 3 * 10**9
_KEPT_FOR_EVER = {"storage": "file", "retention": "limits", "discard": "new", "max_age": 0, "max_msgs": -1}
# What no stream has unless somebody says so; the server leaves out what is not set.
_UNSAID: dict[str, Any] = {
    "max_msgs_per_subject": -1, "max_msg_size": -1, "max_consumers": -1, "allow_msg_ttl": False, "no_ack": False,
    "sealed": False, "mirror": None, "sources": None, "republish": None,
}  # fmt: skip
_GUARDS = {"deny_delete": True, "deny_purge": True, "allow_direct": True, "allow_atomic": True}


@dataclass(frozen=True, slots=True)
class StreamState:
    """First and last sequence (0 and 0 when it never held anything), and on how many servers it is kept."""

    first: int
    last: int
    replicas: int


async def stream_state(connection: Connection, *, patience_seconds: float = PATIENCE_SECONDS) -> StreamState:
    """Where the stream begins and ends, from its leader.

    Raises:
        Unavailable: no leader's answer, or no such stream (reason `LOG_UNREACHABLE`).
    """
    patience = Patience(patience_seconds)
    while True:
        left = patience.left_seconds()
        answer = await call(connection, f"STREAM.INFO.{EVENTS}", patience_seconds=left)
        if "error" in answer:
            raise unreachable(answer["error"]["description"])
        if led(answer):
            break
        await patience.wait(connection, None)
    state = answer["state"]
    metrics.LOG_BYTES.set(state["bytes"])
    metrics.LOG_MAX_BYTES.set(max(0, answer["config"]["max_bytes"]))
    return StreamState(state["first_seq"], state["last_seq"], answer["config"]["num_replicas"])


def led(answer: dict[str, Any]) -> bool:
    """Whether an answer of STREAM.INFO is that of a leader whom most servers have heard just now.

    A leader that is cut off believes in itself for ten seconds and more, and a server that knows of none answers, too.
    Others may elect one after four seconds of silence (nats-server, raft.go): until then there is no other.
    """
    if "cluster" not in answer:
        return True  # a server by itself
    others = answer["cluster"].get("replicas") or []
    heard = [each for each in others if 0 < each["active"] < _HEARD_NS]
    return bool(answer["cluster"].get("leader")) and 2 * (1 + len(heard)) > 1 + len(others)


async def stream_time(connection: Connection, *, patience_seconds: float = PATIENCE_SECONDS) -> datetime:
    """What time it is on the server that leads the stream (`ts` of STREAM.INFO; nats-server 2.10 and later).

    Raises:
        Unavailable: no answer, or none with a time in it (reason `LOG_UNREACHABLE`).
    """
    answer = await call(connection, f"STREAM.INFO.{EVENTS}", patience_seconds=patience_seconds)
    if "error" in answer:
        raise unreachable(answer["error"]["description"])
    try:
        return datetime.fromisoformat(answer["ts"]).astimezone(UTC)
    except (KeyError, ValueError):
        raise unreachable("the server does not say what time it is") from None


async def read_at(connection: Connection, sequence: int) -> Recorded | None:
    """The event at `sequence`, from the leader; None when it is not there."""
    return await _read(connection, {"seq": sequence})


async def read_last(connection: Connection, subject_filter: str) -> Recorded | None:
    """The last event that matches, from the leader; None when there is none."""
    return await _read(connection, {"last_by_subj": subject_filter})


async def _read(connection: Connection, what: dict[str, Any]) -> Recorded | None:
    # STREAM.MSG.GET is answered by the leader; a direct get may come from a replica that is behind.
    message = message_of(await call(connection, f"STREAM.MSG.GET.{EVENTS}", what))
    if message is None:
        return None
    return Recorded(
        message["seq"],
        message["subject"],
        Headers(base64.b64decode(message.get("hdrs", ""))),
        base64.b64decode(message.get("data", "")),
    )


async def ensure_stream(
    connection: Connection,
    *,
    replicas: int | None = None,
    max_bytes: int | None = None,
    resize: bool = True,
) -> None:
    """Make the stream (on one server, `UNLIMITED`, unless told), or give the one that is there what is told.

    Its size stays as it is without `resize`, and where it holds more than `max_bytes` already.

    Raises:
        Exhausted: there is no room for `max_bytes` (reason `LOG_FULL`).
        Refused: a stream is there that forgets, that can be purged or filled by others, or that does not take or answer
            everything (reason `LOG_UNSAFE`).
        Unavailable: no answer came.
    """
    wanted = {
        "name": EVENTS,
        "subjects": [SUBJECTS],
        "num_replicas": replicas or 1,
        "max_bytes": max_bytes or UNLIMITED,
        "duplicate_window": DUPLICATE_WINDOW_SECONDS * 10**9,
        **_KEPT_FOR_EVER,
        **_GUARDS,
    }
    found = await found_or_made(connection, wanted)
    config = found["config"]
    why = fence_of(config)
    unsafe = [name for name, value in (_KEPT_FOR_EVER | _GUARDS).items() if config.get(name) != value]
    unsafe += [name for name, value in _UNSAID.items() if config.get(name, value) != value]
    if config["subjects"] != [SUBJECTS] and not why:
        unsafe.append("subjects")
    if unsafe:
        raise Refused(
            "LOG_UNSAFE",
            f"stream {EVENTS} exists with other {', '.join(unsafe)}: it would not keep events for ever",
            settings=",".join(unsafe),
        )
    if why:
        # It can be read; what is appended is refused by the server until the ledger finds the log whole again.
        _log.error("event log is fenced", why=why)
        return
    held = found["state"]["bytes"]
    if max_bytes is not None and 0 < max_bytes < held and resize:
        _log.warning("event log stays larger than it may be", max_bytes=max_bytes, held_bytes=held)
        resize = False
    told = {"num_replicas": replicas, "max_bytes": max_bytes if resize else None}
    changed = config | {name: value for name, value in told.items() if value is not None}
    if changed != config:
        check_answer(await call(connection, f"STREAM.UPDATE.{EVENTS}", changed))


def fence_of(config: dict[str, Any]) -> str:
    """Why a stream of this configuration is fenced; empty when it is not."""
    return str(config.get("metadata", {}).get(FENCE, ""))


async def refuse_fenced(connection: Connection, timeout_seconds: float = 0.5) -> None:
    """Nobody took what was published: says so at once when that is because of a fence. Looks once.

    Raises:
        Unavailable: the log is fenced (reason `STREAM_REGRESSION`).
    """
    try:
        header, payload = await connection.ask(
            f"$JS.API.STREAM.INFO.{EVENTS}", timeout_seconds=timeout_seconds
        )
    except (NotConnected, AnswerLost):
        return
    why = "" if header else fence_of(json.loads(payload).get("config", {}))
    if why:
        raise Unavailable("STREAM_REGRESSION", f"nothing is written, the event log is fenced: {why}")
