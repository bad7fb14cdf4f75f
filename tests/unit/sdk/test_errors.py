"""Failed calls as exceptions a caller can switch on."""

from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from provost_sdk import errors


def failed(code: grpc.StatusCode, text: str = "", details: bytes | None = None) -> grpc.aio.AioRpcError:
    trailing: list[tuple[str, Any]] = [("other", "x")]
    if details is not None:
        trailing.append(("grpc-status-details-bin", details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), text)


def details(reason: str, domain: str = "provost", **facts: str) -> bytes:
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=facts))
    made: bytes = status_pb2.Status(details=[detail]).SerializeToString()
    return made


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequest),
        (grpc.StatusCode.UNAUTHENTICATED, errors.NotAuthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, errors.NotAllowed),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, errors.InConflict),
        (grpc.StatusCode.ABORTED, errors.InConflict),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.NotNow),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.LimitReached),
        (grpc.StatusCode.UNAVAILABLE, errors.Unreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.Unreachable),
        (grpc.StatusCode.INTERNAL, errors.ProvostError),
    ],
)
def test_the_class_says_what_to_do_and_the_reason_why(
    code: grpc.StatusCode, kind: type[errors.ProvostError]
) -> None:
    error = errors.error_of(failed(code, "text", details("SOME_REASON", agent_id="sre-1")))
    assert type(error) is kind
    assert (error.reason, error.facts, str(error)) == ("SOME_REASON", {"agent_id": "sre-1"}, "text")


def test_nobody_at_the_address_is_told_from_a_service_that_is_away() -> None:
    assert errors.error_of(failed(grpc.StatusCode.UNAVAILABLE)).reason == errors.GATEWAY_UNREACHABLE
    away = failed(grpc.StatusCode.UNAVAILABLE, "policy is away", details("PEER_UNREACHABLE"))
    assert errors.error_of(away).reason == "PEER_UNREACHABLE"


@pytest.mark.parametrize("noise", [b"\xff\xff", details("X", domain="elsewhere.example"), b""])
def test_details_of_others_are_passed_over(noise: bytes) -> None:
    error = errors.error_of(failed(grpc.StatusCode.NOT_FOUND, "gone", noise))
    assert (type(error), error.reason, str(error)) == (errors.NotFound, "NOT_FOUND", "gone")


@pytest.mark.parametrize("answered", [b"", details("PEER_UNREACHABLE")])
def test_a_certificate_that_is_not_believed_is_told_in_words_unless_a_service_says_so_of_another(
    answered: bytes,
) -> None:
    said = (
        "last error: SSL_ERROR_SSL: OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate: OK"
    )
    error = errors.error_of(failed(grpc.StatusCode.UNAVAILABLE, said, answered or None))
    why = "the gateway is not trusted (self signed certificate): is ca_file the authority that issued its certificate?"
    assert str(error) == (said if answered else why)
    assert isinstance(error, errors.Unreachable)
