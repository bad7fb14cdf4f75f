"""Events, and where they stand in the log.

A `Stream` is one aggregate's place; a `Cause` says who asked for what and why; a `Recorded` is an event as the log
keeps it. Knows nothing of NATS or protobuf: subjects are names, payloads are bytes.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kernel.faults import Invalid

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAMESPACE = uuid.UUID("6f0b1a52-6c3e-5d0e-9a53-70726f766f73").bytes


def require_token(value: str, field: str) -> str:
    """`value`, if it can stand in a subject (`[A-Za-z0-9_-]`, 1 to 128 characters).

    Raises:
        Invalid: it cannot; the fault names `field`.
    """
    if TOKEN.fullmatch(value) is None:
        raise Invalid(
            "MALFORMED_ID",
            f"{field} must be 1 to 128 characters of A-Z, a-z, 0-9, '_' and '-'",
            field=field,
        )
    return value


@dataclass(frozen=True, slots=True)
class Stream:
    """One aggregate: tenant, context, aggregate, id. Its events have subjects `evt.<t>.<c>.<a>.<id>.<EventType>`."""

    tenant: str
    context: str
    aggregate: str
    id: str

    @property
    def filter(self) -> str:
        """The subject filter that covers every event of this aggregate and nothing else."""
        return f"evt.{self.tenant}.{self.context}.{self.aggregate}.{self.id}.*"

    def subject(self, event_type: str) -> str:
        """Where an event of this type is published; `event_type` is the short name, as `AgentRevoked`."""
        return f"evt.{self.tenant}.{self.context}.{self.aggregate}.{self.id}.{event_type}"

    def event_id(self, request_id: str, n: int = 0) -> str:
        """The id of the n-th event that `request_id` causes here: UUIDv5, so that a retry bears the same id.

        Of what a command causes it is the `request_id` of `Cause.asking`.
        """
        return _uuid5(f"{self.tenant}/{self.context}/{self.aggregate}/{self.id}/{request_id}/{n}")


def derived_id(*parts: str) -> str:
    """A request id that is the same whenever the same step is tried again: UUIDv5 over `parts`."""
    return _uuid5("/".join(parts))


def derived_hex(*parts: str) -> str:
    """`derived_id` without its dashes: for what is named so, not asked."""
    return derived_id(*parts).replace("-", "")


def told_apart(*parts: str) -> str:
    """`parts` as one text, by their lengths: where callers choose more than one, none can pass for another."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def _uuid5(name: str) -> str:
    """As `uuid.uuid5` (RFC 9562, section 5.5) in our namespace, at a quarter of its cost: every event needs some."""
    raw = bytearray(hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who asked, when, and what led to it. Travels through gRPC metadata and event headers.

    The same `request_id` sent again by the same caller, with the same command to the same aggregate, has one effect.
    """

    tenant: str
    request_id: str
    actor: str
    at: datetime
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    asker: str = ""
    """Whose the request id is, if not the actor's: a step that whoever comes to it tries again has one id for all."""

    def asking(self, command: type[object]) -> "Cause":
        """This cause, its request id told apart from the same one of another caller, or with another command.

        Request ids are chosen by callers, and those of our own steps can be computed by anybody: alone they would let
        one request pass for another, which would then not be carried out.
        """
        # A command's name and a request id hold no '/', whatever an actor's does: no two come to the same.
        own = f"{command.__name__}/{self.asker or self.actor}/{self.request_id}"
        return Cause(
            self.tenant, own, self.actor, self.at, self.correlation_id, self.causation_id, self.traceparent
        )

    def about(self, *what: str) -> "Cause":
        """This cause, its request id told apart from the same one with a command of that kind for something else.

        Where the aggregate does not say it: budgets are one for all of a tenant, and a vote may be a yes or a no.
        """
        return replace(self, request_id=derived_id(told_apart(self.request_id, *what)))


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of an aggregate: its stream sequence (0 when there is none) and how many there are.

    `event_id` is what the next event names as its cause, empty where nobody has kept it.
    """

    sequence: int = 0
    version: int = 0
    event_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append answers: the sequence of its last event; `duplicate` when an earlier try had written it."""

    sequence: int
    event_ids: tuple[str, ...]
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the log keeps it: undecoded, so that it can be passed on, hashed or parked as it came."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes

    @property
    def stream(self) -> Stream:
        """The aggregate it belongs to.

        Raises:
            Invalid: the subject is not of the form `evt.<t>.<c>.<a>.<id>.<EventType>`.
        """
        parts = self.subject.split(".")
        if len(parts) != 6 or parts[0] != "evt":
            raise Invalid("MALFORMED_SUBJECT", f"not an event subject: {self.subject!r}", field="subject")
        return Stream(*parts[1:5])

    @property
    def event_type(self) -> str:
        """The short name, as `AgentRevoked`."""
        return self.subject.rpartition(".")[2]

    @property
    def event_id(self) -> str:
        return self.headers.get("ce-id", "")

    @property
    def time(self) -> datetime | None:
        """When it happened, by the clock of who wrote it; None when that cannot be read."""
        try:
            return datetime.fromisoformat(self.headers["ce-time"])
        except (KeyError, ValueError):
            return None
