"""What can go wrong, as exceptions with a reason to switch on: `google.rpc.ErrorInfo`, domain `provost`.

    ProvostError
    ├── InvalidRequest    the request cannot be understood
    ├── NotAuthenticated  no key, or an unknown one
    ├── NotAllowed        the key's role may not
    ├── NotFound          there is no such thing
    ├── InConflict        taken, or somebody was quicker
    ├── NotNow            not in this state
    ├── LimitReached      rate, size or budget
    └── Unreachable       no answer; trying again may help

Reasons are those of `provost.error.v1.Reason`, without their prefix.
"""

import re
from collections.abc import Mapping

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from provost_sdk.stale import heard

# Nobody answered at the address: the one reason that only the client can give.
GATEWAY_UNREACHABLE = "GATEWAY_UNREACHABLE"
NOT_TRUSTED = "the gateway is not trusted"
_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "provost"
# What BoringSSL says of a certificate, inside what gRPC says of a connection.
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")


class ProvostError(Exception):
    """`reason` is for programs, the text for people, `facts` say more.

    `retryable`: the same request, with the same request id, may be answered a little later. `stale_seconds`: for
    so long had the state that says so not been at the end of the log: what is missing may be there by now; else 0.
    """

    def __init__(self, reason: str, text: str, facts: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.facts = dict(facts or {})
        self.stale_seconds = 0

    @property
    def retryable(self) -> bool:
        return isinstance(self, Unreachable) or self.reason in ("APPEND_CONFLICT", "RATE_LIMITED")


class InvalidRequest(ProvostError):
    pass


class NotAuthenticated(ProvostError):
    pass


class NotAllowed(ProvostError):
    pass


class NotFound(ProvostError):
    pass


class InConflict(ProvostError):
    pass


class NotNow(ProvostError):
    pass


class LimitReached(ProvostError):
    pass


class Unreachable(ProvostError):
    pass


_KINDS: Mapping[grpc.StatusCode, tuple[type[ProvostError], str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (InvalidRequest, "MALFORMED_MESSAGE"),
    grpc.StatusCode.UNAUTHENTICATED: (NotAuthenticated, "KEY_UNKNOWN"),
    grpc.StatusCode.PERMISSION_DENIED: (NotAllowed, "ROLE_MISSING"),
    grpc.StatusCode.NOT_FOUND: (NotFound, "NOT_FOUND"),
    grpc.StatusCode.ALREADY_EXISTS: (InConflict, "ALREADY_EXISTS"),
    grpc.StatusCode.ABORTED: (InConflict, "APPEND_CONFLICT"),
    grpc.StatusCode.FAILED_PRECONDITION: (NotNow, "FAILED_PRECONDITION"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (LimitReached, "MESSAGE_TOO_LARGE"),
    grpc.StatusCode.UNAVAILABLE: (Unreachable, GATEWAY_UNREACHABLE),
    grpc.StatusCode.DEADLINE_EXCEEDED: (Unreachable, "DEADLINE_EXCEEDED"),
}


def error_of(
    error: grpc.aio.AioRpcError, request: object = None, seconds: float | None = None
) -> ProvostError:
    """The exception that a failed call amounts to: of this `request`, which had so many `seconds`.

    When there is no answer to one that changes something, its request id is among the facts.
    """
    kind, reason = _KINDS.get(error.code(), (ProvostError, "INTERNAL"))
    text = error.details() or f"the call ended with {error.code().name}"
    info = _info_of(error)
    if reason == GATEWAY_UNREACHABLE and info is None and (untrusted := _UNTRUSTED.search(text)):
        text = f"{NOT_TRUSTED} ({untrusted[1]}): is ca_file the authority that issued its certificate?"
    request_id = getattr(request, "request_id", "")
    if info is None and reason == "DEADLINE_EXCEEDED" and seconds:
        text = f"no answer came within {seconds:g} s"
        if request_id:
            text += ", and it may have taken effect: look first, or send it again under the same request id "
            text += f"({request_id}), under which it takes effect once"
    raised = kind(info.reason, text, info.metadata) if info else kind(reason, text)
    if request_id and kind is Unreachable:
        raised.facts.setdefault("request_id", request_id)
    raised.stale_seconds = heard(error.trailing_metadata())
    return raised


def _info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        info = error_details_pb2.ErrorInfo()
        try:
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(info) and info.domain == _DOMAIN:
                    return info
        except DecodeError:
            return None  # not one of ours: the bare status says enough
    return None
