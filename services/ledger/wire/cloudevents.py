"""Events as CloudEvents 1.0 in structured mode, `application/cloudevents+json`: for those who do not read protobuf.

What is sealed stays sealed: copies of this are made that nobody here knows of. What cannot be read, or would be large,
is not left out: its bytes are there as they were published, or where to ask for it.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from services.ledger.wire.payloads import payload_json

MEDIA_TYPE = "application/cloudevents+json"
MAX_DATA_BYTES = 512 * 1024
_ATTRIBUTE = re.compile(r"ce-([a-z0-9]{1,40})")
_OURS = frozenset(
    {"id", "source", "specversion", "type", "datacontenttype", "dataschema", "data", "logseq", "tenant"}
)


def public_subject(subject: str) -> str:
    """Where the JSON form of what was published on `subject` goes: `evt.…` becomes `pub.…`."""
    return f"pub.{subject.partition('.')[2]}"


def cloudevent(sequence: int, subject: str, headers: Mapping[str, str], payload: bytes) -> bytes:
    """The event at `sequence` of the log. Never raises.

    Attributes of our own: `logseq`, the sequence, as text; `tenant`; and those of the headers (docs/events.md).
    """
    event_id = headers.get("ce-id") or f"log-{sequence}"
    kind = headers.get("ce-type") or "provost.Unreadable"
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": headers.get("ce-source") or "provost/unknown",
        "type": kind,
    }
    attributes |= _others(headers)
    attributes |= {"tenant": subject.split(".")[1], "logseq": str(sequence)}
    if headers.get("traceparent"):
        attributes["traceparent"] = headers["traceparent"]
    data = payload_json(kind, payload) if len(payload) <= MAX_DATA_BYTES else ""
    if data and len(data) <= MAX_DATA_BYTES:
        told = json.dumps({**attributes, "datacontenttype": "application/json"})
        return f'{told[:-1]}, "data": {data}}}'.encode()
    attributes["datacontenttype"] = headers.get("ce-datacontenttype") or "application/octet-stream"
    if len(payload) <= MAX_DATA_BYTES:
        attributes["data_base64"] = base64.b64encode(payload).decode()
    else:
        attributes["dataref"] = f"/api/events/{event_id}"
    return json.dumps(attributes).encode()


def _others(headers: Mapping[str, str]) -> dict[str, str]:
    found = ((_ATTRIBUTE.fullmatch(name), value) for name, value in headers.items())
    return {match[1]: value for match, value in found if match and value and match[1] not in _OURS}
