"""Messages as plain data, named as REST names them: for `--json`, and for whoever would rather have dictionaries."""

from datetime import UTC
from typing import Any

from google.protobuf.message import Message

from provost.orchestrator.v1 import orchestrator_pb2

_TIMESTAMP = "google.protobuf.Timestamp"


def as_dict(message: Message) -> dict[str, Any]:
    """`message` as plain data: enum names without prefix, RFC 3339 times, bytes in hex; what is unset is left out."""
    made: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry:
            made[field.name] = dict(sorted(value.items()))
        elif field.is_repeated:
            made[field.name] = [_plain(field, each) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            made[field.name] = _plain(field, value)
    return made


def run_as_dict(run: orchestrator_pb2.Run) -> dict[str, Any]:
    """A run as `POST /api/process_log` answers it; permits are for actuators and are left out."""
    made = as_dict(run)
    made["mode"], made["strategy"] = made["mode"].lower(), made["strategy"].lower()
    if "incident" in made:
        for evidence in made["incident"]["evidence"]:
            evidence["id"], evidence["hash"] = evidence.pop("evidence_id"), evidence.pop("sha256")
    for planned in made["plan"]:
        action = planned.pop("action", {})
        action["action"] = action.pop("name", "")
        planned.update(action)
    for decision in made["decisions"]:
        decision["decision"] = decision.pop("verdict")
        decision.pop("permit", None)
        decision.pop("permit_expire_time", None)
    made["outcome"] = {
        "state": made["state"],
        "reason": made.pop("reason"),
        "summary": made.pop("outcome"),
        "effects": made.pop("effects"),
        "checks": made.pop("checks"),
    }
    made["past_incidents"] = made.pop("past")
    for past in made["past_incidents"]:
        for tried in past["tried"]:
            tried["action"] = tried.pop("name")
    cycles = made.pop("cycles")
    for cycle in cycles:
        cycle["cycle"] = cycle.pop("number")
    if made.pop("include_trace"):
        made["trace"] = cycles
    return made


def word(message: Message, field: str) -> str:
    """The name of an enum's value without its prefix, "" when it is unspecified or unknown."""
    return _word(message.DESCRIPTOR.fields_by_name[field], getattr(message, field))


def _plain(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return _word(field, value)
    if field.message_type is not None:
        if field.message_type.full_name == _TIMESTAMP:
            return value.ToDatetime(tzinfo=UTC).isoformat().replace("+00:00", "Z")
        return as_dict(value)
    return value.hex() if isinstance(value, bytes) else value


def _word(field: Any, number: int) -> str:
    enum = field.enum_type
    assert enum is not None
    known = enum.values_by_number.get(number)
    if known is None or not number:
        return ""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(known.name).removeprefix(prefix)
