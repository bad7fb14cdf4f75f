"""Events of the ledger as CloudEvents 1.0 (structured mode): the same form that subscribers have on `pub.>`."""

import base64
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2

_ATTRIBUTE = re.compile(r"ce-([a-z0-9]{1,40})")
_OURS = frozenset({"id", "source", "specversion", "type", "datacontenttype", "data", "logseq", "tenant"})


def as_cloudevent(event: "ledger_pb2.LedgerEvent") -> dict[str, Any]:
    """The event as a JSON object (docs/events.md has the attributes); what is personal is told as in the answer."""
    headers = event.headers
    made: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id or f"log-{event.sequence}",
        "source": headers.get("ce-source") or "provost/unknown",
        "type": headers.get("ce-type") or "provost.Unreadable",
    }
    for name, value in sorted(headers.items()):
        match = _ATTRIBUTE.fullmatch(name)
        if match and value and match[1] not in _OURS:
            made[match[1]] = value
    made |= {"tenant": event.subject.split(".")[1], "logseq": str(event.sequence)}
    if event.payload_json:
        return made | {"datacontenttype": "application/json", "data": json.loads(event.payload_json)}
    kind = headers.get("ce-datacontenttype") or "application/octet-stream"
    return made | {"datacontenttype": kind, "data_base64": base64.b64encode(event.payload).decode()}
