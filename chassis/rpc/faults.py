"""The one place where faults become gRPC statuses and statuses become faults again.

A fault travels as `google.rpc.Status` with one `ErrorInfo` (domain `provost`) in `grpc-status-details-bin`, and a
`BadRequest` where it names each of several things that are wrong. Texts and facts are clipped: trailers past 8 KiB (the
text twice, once percent-encoded, and the rest in base64) lose the whole answer, by chance from there on and always from
16 KiB.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from kernel.faults import (
    AppendConflict,
    Conflict,
    Denied,
    Exhausted,
    Fault,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)

DOMAIN = "provost"
NEEDS_PEOPLE = frozenset({"STREAM_REGRESSION"})
"""What does not get better in a few seconds: clients do not repeat such calls by themselves (gRFC A6, pushback)."""
_DO_NOT_RETRY = (("grpc-retry-pushback-ms", "-1"),)
DETAILS_KEY = "grpc-status-details-bin"
MAX_TEXT_BYTES = 800
MAX_FACT_BYTES = 200
MAX_FACTS_BYTES = 2000
"""All of them together, errors included."""
_VIOLATION_BYTES = 10
"""What one takes beside its two texts."""

_Code = grpc.StatusCode

# The first class that fits names the code: subclasses before their parents.
_CODES: tuple[tuple[type[Fault], grpc.StatusCode], ...] = (
    (AppendConflict, _Code.ABORTED),
    (Invalid, _Code.INVALID_ARGUMENT),
    (Unauthenticated, _Code.UNAUTHENTICATED),
    (Denied, _Code.PERMISSION_DENIED),
    (NotFound, _Code.NOT_FOUND),
    (Conflict, _Code.ALREADY_EXISTS),
    (Refused, _Code.FAILED_PRECONDITION),
    (Exhausted, _Code.RESOURCE_EXHAUSTED),
    (Unavailable, _Code.UNAVAILABLE),
)

_CLASSES: dict[grpc.StatusCode, type[Fault]] = {code: kind for kind, code in _CODES}

# What gRPC itself answers, or a server that was never reached: no fault of ours is in these.
_BARE: dict[grpc.StatusCode, tuple[type[Fault], str]] = {
    _Code.RESOURCE_EXHAUSTED: (Exhausted, "MESSAGE_TOO_LARGE"),
    _Code.UNAVAILABLE: (Unavailable, "PEER_UNREACHABLE"),
    _Code.CANCELLED: (Unavailable, "PEER_UNREACHABLE"),
    _Code.DEADLINE_EXCEEDED: (Unavailable, "DEADLINE_EXCEEDED"),
}


class PeerFailed(Exception):
    """A peer answered what no fault of ours travels as (INTERNAL, UNIMPLEMENTED …): a bug, not to be acted on."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"peer answered {code.name}: {text}")
        self.code = code


class Answer(NamedTuple):
    """What `context.abort` takes."""

    code: grpc.StatusCode
    text: str
    trailing: tuple[tuple[str, str | bytes], ...]


def code_of(fault: Fault) -> grpc.StatusCode:
    """The status code that a fault of this class travels under."""
    return next(code for kind, code in _CODES if isinstance(fault, kind))


def answer_of(fault: Fault) -> Answer:
    """How `fault` is answered over gRPC."""
    code, text, facts, room = code_of(fault), _clip(fault.text, MAX_TEXT_BYTES), {}, MAX_FACTS_BYTES
    for key, value in fault.facts.items():
        clipped = _clip(value, MAX_FACT_BYTES)
        room -= len(key.encode()) + len(clipped.encode())
        if room < 0:
            break
        facts[key] = clipped
    status = status_pb2.Status(code=code.value[0], message=text)
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata=facts))
    status.details.append(detail)
    violations = _violations(fault, room)
    if violations.field_violations:
        status.details.add().Pack(violations)
    trailing: tuple[tuple[str, str | bytes], ...] = ((DETAILS_KEY, status.SerializeToString()),)
    return Answer(code, text, trailing + (_DO_NOT_RETRY if fault.reason in NEEDS_PEOPLE else ()))


def fault_of(error: grpc.aio.AioRpcError) -> Fault | PeerFailed:
    """What a failed call means here: the fault the peer raised, or the one that its bare status amounts to."""
    code, text = error.code(), error.details() or ""
    info = _info_of(error)
    if info is None:
        if code not in _BARE:
            return PeerFailed(code, text)
        kind, reason = _BARE[code]
        return kind(reason, text or f"the call ended with {code.name}")
    if code is _Code.ABORTED:
        sequence = info.metadata["expected_sequence"]
        return AppendConflict(info.metadata["stream"], int(sequence) if sequence.isdigit() else 0)
    # Facts are set, not passed by keyword: a peer may well name one `reason` or `text`.
    fault = _CLASSES.get(code, Refused)(info.reason, text)
    fault.facts = dict(info.metadata)
    fault.errors = _errors_of(error)
    return fault


def _violations(fault: Fault, room: int) -> error_details_pb2.BadRequest:
    """As many of a fault's errors as there is room for, in bytes, beside its facts."""
    violations = error_details_pb2.BadRequest()
    for field, text in fault.errors:
        clipped = _clip(field, MAX_FACT_BYTES), _clip(text, MAX_FACT_BYTES)
        room -= sum(len(each.encode()) for each in clipped) + _VIOLATION_BYTES
        if room < 0:
            break
        violations.field_violations.add(field=clipped[0], description=clipped[1])
    return violations


def _clip(text: str, max_bytes: int) -> str:
    # Lone surrogates stand for bytes of a log, and no header carries them.
    raw = text.encode("utf-8", "replace")
    return raw[:max_bytes].decode("utf-8", "ignore")


def _info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    infos = _details_of(error, error_details_pb2.ErrorInfo)
    return next((info for info in infos if info.domain == DOMAIN), None)


def _errors_of(error: grpc.aio.AioRpcError) -> tuple[tuple[str, str], ...]:
    requests = _details_of(error, error_details_pb2.BadRequest)
    return tuple((each.field, each.description) for found in requests for each in found.field_violations)


def _details_of(error: grpc.aio.AioRpcError, kind: Any) -> Iterator[Any]:
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            for detail in status_pb2.Status.FromString(value).details:
                found = kind()
                if detail.Unpack(found):
                    yield found
        except DecodeError:
            return  # a peer that is not ours: the bare status still says enough
