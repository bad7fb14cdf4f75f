"""Faults as RFC 9457 problem documents: the one place where a fault gets an HTTP status."""

import math
from http import HTTPStatus
from typing import Annotated

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from kernel.faults import (
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
from services.gateway.domain.faults import InvalidFields

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2

STATUSES: tuple[tuple[type[Fault], HTTPStatus], ...] = (
    (Invalid, HTTPStatus.BAD_REQUEST),
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Denied, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Refused, HTTPStatus.CONFLICT),
    (Exhausted, HTTPStatus.TOO_MANY_REQUESTS),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)
# Limits that waiting does not lift.
REASONS: dict[str, HTTPStatus] = {
    "LOG_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "MESSAGE_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "ARTIFACT_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "LOG_FULL": HTTPStatus.INSUFFICIENT_STORAGE,
}


class FieldError(BaseModel):
    """What is wrong with one field, and what is allowed."""

    field: str
    detail: str


class Problem(BaseModel):
    """Why there is no answer (RFC 9457). Switch on `reason`; `detail` and `errors` are for people."""

    model_config = ConfigDict(json_schema_extra={"description": "RFC 9457 problem details"})

    type: Annotated[str, Field(description="the reason as a URI; docs/reasons.md says what it means")]
    title: str
    status: int
    detail: str
    reason: str
    errors: list[FieldError] = []


def status_of(fault: Fault) -> HTTPStatus:
    """The HTTP status a fault is answered with."""
    by_reason = REASONS.get(fault.reason)
    return by_reason or next(status for kind, status in STATUSES if isinstance(fault, kind))


def problem_of(fault: Fault) -> Problem:
    """The problem document of a fault; its facts stay inside, save the field that is named."""
    status = status_of(fault)
    if fault.errors:
        errors = [FieldError(field=field, detail=detail) for field, detail in fault.errors]
    elif "field" in fault.facts:
        errors = [FieldError(field=fault.facts["field"], detail=fault.text)]
    else:
        errors = []
    return _problem(status, fault.reason, fault.text, errors)


def response_of(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """How `problem` is answered."""
    return Response(
        problem.model_dump_json(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def internal(trouble: str) -> Response:
    """The answer to a bug: nothing of it but the number under which the log has more."""
    text = f"something went wrong in here; the gateway's log has more under {trouble}"
    return response_of(_problem(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", text, []))


def peer_failed() -> Response:
    """The answer when a service behind the gateway failed in a way that it should not have."""
    text = "a service behind the gateway failed; its log has more. Whether it took effect can be seen in the ledger"
    return response_of(_problem(HTTPStatus.BAD_GATEWAY, "INTERNAL", text, []))


def shutting_down() -> Response:
    """The answer to who still waits when the gateway ends."""
    text = "the gateway ends; whether it took effect is not known: ask again, under the same Idempotency-Key"
    problem = _problem(HTTPStatus.SERVICE_UNAVAILABLE, "SHUTTING_DOWN", text, [])
    return response_of(problem, {"Retry-After": str(RETRY_SECONDS)})


async def on_fault(_: HTTPConnection, fault: Exception) -> Response:
    assert isinstance(fault, Fault)
    problem = problem_of(fault)
    headers: dict[str, str] = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'ApiKey realm="provost"'
    if problem.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        wait_seconds = float(fault.facts.get("retry_after_seconds", RETRY_SECONDS))
        headers["Retry-After"] = str(max(1, math.ceil(wait_seconds)))
    return response_of(problem, headers)


async def on_parameters(_: Request, error: Exception) -> Response:
    """A path or query parameter is not as it has to be: 400, as for bodies."""
    assert isinstance(error, RequestValidationError)
    errors = tuple((".".join(map(str, each["loc"][1:])) or "request", each["msg"]) for each in error.errors())
    return response_of(problem_of(InvalidFields("FIELD_INVALID", errors)))


async def on_http(_: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    known = {
        404: "ROUTE_UNKNOWN",
        405: "METHOD_NOT_ALLOWED",
        408: "DEADLINE_EXCEEDED",
        426: "METHOD_NOT_ALLOWED",
    }
    reason = known.get(status, "MALFORMED_MESSAGE")
    text = f"{error.detail}; GET /api/docs lists what there is" if status in (404, 405) else error.detail
    return response_of(_problem(status, reason, text, []), dict(error.headers or {}))


def _problem(status: HTTPStatus, reason: str, text: str, errors: list[FieldError]) -> Problem:
    return Problem(
        type=f"urn:provost:reason:{reason}",
        title=status.phrase,
        status=status,
        detail=text,
        reason=reason,
        errors=errors,
    )
