"""The document: a channel for each subject, an operation for each channel, a message for each form of each event.

Which event there is of which thing, and what has happened then, stands in docs/events.md; the shapes in the protos.
"""

import io
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from services.ledger.asyncapi.schemas import Schema, parts_of, ref, schema_of
from services.ledger.wire.cloudevents import MEDIA_TYPE

ROOT = Path(__file__).parents[3]
PROTOBUF = "application/vnd.google.protobuf;version=3"
_SECTION = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| `(?P<name>[A-Z]\w+)` \| (?P<things>[a-z, ]+) \| (?P<what>.+) \|$", re.MULTILINE)
_SIGNED = "of every process that signs"
_LINK = re.compile(r"\s*\(\[[^\]]+\]\([^)]+\)\)|\[([^\]]+)\]\([^)]+\)")
CONTEXTS = ("policy", "state", "orchestrator", "ledger", "gateway")


class Event(NamedTuple):
    """An event of a thing: whose subjects, what it is, what has happened then."""

    context: str
    thing: str
    descriptor: Descriptor
    what: str

    @property
    def name(self) -> str:
        return str(self.descriptor.name)

    @property
    def file(self) -> str:
        """Where it is defined; as a name of the document, with dots."""
        return str(self.descriptor.file.name)


def events() -> Iterator[Event]:
    """Every event in docs/events.md, in its order; twice when it is of two things."""
    text = (ROOT / "docs" / "events.md").read_text()
    for title, begin, end in _sections(text):
        file = "provost.event.v1.keys_pb2" if title == _SIGNED else f"provost.{title}.v1.events_pb2"
        if title not in (*CONTEXTS, _SIGNED):
            continue
        known = import_module(file).DESCRIPTOR.message_types_by_name
        for row in _ROW.finditer(text, begin, end):
            for thing in row["things"].split(", "):
                context = "{service}" if title == _SIGNED else title
                yield Event(context, thing, known[row["name"]], _LINK.sub(r"\1", row["what"]))


def document() -> dict[str, Any]:
    """The whole of it."""
    found = list(events())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Provost",
            "version": version("provost"),
            "description": "Every event that Provost publishes, as protobuf and as JSON. The prose is docs/events.md.",
            "license": {"name": "see LICENSE"},
        },
        "defaultContentType": "application/protobuf",
        "servers": _servers(),
        "channels": dict(_channels(found)) | {"live": _live()},
        "operations": dict(_operations(found)),
        "components": {
            "messages": dict(_messages(found)) | _live_messages(),
            "schemas": _headers() | dict(_schemas(found)) | _live_schemas(),
            "parameters": {
                "tenant": {"description": "whose it is"},
                "id": {"description": "of which thing"},
                "service": {"description": "who signs: policy, orchestrator, actuators …"},
            },
            "securitySchemes": {
                "subscriber": {
                    "type": "userPassword",
                    "description": "keys/subscribers/TENANT.url (PROVOST_SUBSCRIBERS)",
                },
                "certificate": {"type": "X509", "description": "in a cluster: deploy/nats"},
                "key": {"type": "httpApiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def rendered() -> str:
    """As YAML, the same each time."""
    yaml, text = YAML(), io.StringIO()
    yaml.width = 140
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump(document(), text)
    return f"# Made by `make gen` (python -m services.ledger.asyncapi): not to be edited.\n{text.getvalue()}"


def _sections(text: str) -> Iterator[tuple[str, int, int]]:
    heads = list(_SECTION.finditer(text))
    for n, head in enumerate(heads):
        yield head["title"], head.end(), heads[n + 1].start() if n + 1 < len(heads) else len(text)


def _servers() -> Schema:
    nats: Schema = {"host": "127.0.0.1:4222", "protocol": "nats"}
    nats["description"] = "JetStream: streams EVENTS (evt.>) and, with PROVOST_PUBLIC_EVENTS, PUBLIC (pub.>)"
    nats["security"] = [_at("securitySchemes", each) for each in ("subscriber", "certificate")]
    gateway: Schema = {
        "host": "127.0.0.1:5000",
        "protocol": "ws",
        "security": [_at("securitySchemes", "key")],
    }
    return {"nats": nats, "gateway": gateway}


def _at(part: str, name: str) -> Schema:
    return {"$ref": f"#/components/{part}/{name}"}


def _names(event: Event) -> tuple[str, str]:
    """The name of the channel, which is that of the operation, too; and of its address but for the first word."""
    context = event.context.strip("{}")
    tenant = "default" if event.context == "{service}" else "{tenant}"
    return (
        f"{context}.{event.thing}.{event.name}",
        f"{tenant}.{event.context}.{event.thing}.{{id}}.{event.name}",
    )


def _channels(found: list[Event]) -> Iterator[tuple[str, Schema]]:
    for event in found:
        name, address = _names(event)
        parameters = {each: _at("parameters", each) for each in re.findall(r"\{(\w+)\}", address)}
        for word, form in (("evt", ""), ("pub", ".json")):
            yield (
                name + form,
                {
                    "address": f"{word}.{address}",
                    "summary": event.what,
                    "servers": [{"$ref": "#/servers/nats"}],
                    "parameters": parameters,
                    "messages": {event.name: _at("messages", event.descriptor.full_name + form)},
                },
            )


def _operations(found: list[Event]) -> Iterator[tuple[str, Schema]]:
    names = [_names(event)[0] + form for event in found for form in ("", ".json")]
    for name in [*names, "live"]:
        yield f"tell.{name}", {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}


def _messages(found: list[Event]) -> Iterator[tuple[str, Schema]]:
    for event in found:
        full_name = str(event.descriptor.full_name)
        shared = {"name": full_name, "title": event.name, "summary": event.what}
        yield (
            full_name,
            {
                **shared,
                "contentType": "application/protobuf",
                "headers": ref("headers"),
                "payload": ref(event.file.replace("/", ".")),
            },
        )
        data = {"type": "object", "properties": {"type": {"const": full_name}, "data": ref(full_name)}}
        yield (
            f"{full_name}.json",
            {
                **shared,
                "contentType": MEDIA_TYPE,
                "headers": ref("json-headers"),
                "payload": {"allOf": [ref("cloudevent"), data]},
            },
        )


def _schemas(found: list[Event]) -> Iterator[tuple[str, Schema]]:
    parts = {part.full_name: part for event in found for part in parts_of(event.descriptor)}
    for name in sorted(parts):
        yield str(name), schema_of(parts[name])
    for file in sorted({event.file for event in found}):
        text = (ROOT / "protos" / file).read_text()
        yield file.replace("/", "."), {"schemaFormat": PROTOBUF, "schema": LiteralScalarString(text)}


def _headers() -> dict[str, Schema]:
    text = (ROOT / "docs" / "events.md").read_text()
    rows = re.findall(r"^\| (`(?:ce-|Nats-|traceparent)[^|]*) \| ([^|]+) \|$", text, re.MULTILINE)
    said = {name: what for names, what in rows for name in re.findall(r"`([\w-]+)`", names)}
    headers = {name: {"type": "string", "description": what} for name, what in said.items()}
    needed = ["ce-id", "ce-type", "ce-source", "ce-time", "ce-subject", "ce-specversion"]
    attributes = {
        name.removeprefix("ce-"): each for name, each in headers.items() if not name.startswith("Nats-")
    }
    attributes |= {
        "specversion": {"const": "1.0"},
        "tenant": {"type": "string", "description": "whose it is"},
        "logseq": {"type": "string", "description": "the sequence in the log, as in `Provost-Sequence`"},
        "data": {"type": "object", "description": "the event, when datacontenttype is application/json"},
        "data_base64": {"type": "string", "description": "its bytes, when it cannot be read as JSON"},
        "dataref": {"type": "string", "description": "where to ask for it at the gateway, when it is large"},
    }
    sequence = {"type": "string", "description": "the sequence in the log"}
    kind = {"const": MEDIA_TYPE}
    return {
        "headers": {"type": "object", "properties": headers, "required": needed},
        "json-headers": {
            "type": "object",
            "properties": {"content-type": kind, "Provost-Sequence": sequence},
        },
        "cloudevent": {
            "type": "object",
            "description": "CloudEvents 1.0, structured mode",
            "properties": attributes,
            "required": ["id", "source", "specversion", "type", "tenant", "logseq"],
        },
    }


def _live() -> Schema:
    filters = (
        "context",
        "aggregate",
        "aggregate_id",
        "event_type",
        "correlation_id",
        "actor",
        "agent_id",
        "run_id",
    )
    names = (*filters, "task_id", "action", "decision", "after", "from_start")
    query = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    return {
        "address": "/api/events/ws",
        "summary": "events of the key's tenant as they come, resumed with `after` the last cursor seen",
        "servers": [{"$ref": "#/servers/gateway"}],
        "messages": {name: _at("messages", name) for name in _live_messages()},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _live_messages() -> dict[str, Schema]:
    told = {
        "live-event": "an event, and where it stands",
        "live-sign": "a sign of life: nothing was missed up to here",
        "live-problem": "why the socket is closed (RFC 9457), and where to go on",
    }
    return {
        name: {"name": name, "summary": what, "contentType": "application/json", "payload": ref(name)}
        for name, what in told.items()
    }


def _live_schemas() -> dict[str, Schema]:
    cursor = {"type": "string"}
    words = ("event_id", "subject", "event_type", "actor", "correlation_id", "causation_id", "leaf_hash")
    fields: dict[str, Schema] = {name: {"type": "string"} for name in words}
    fields |= {name: {"type": "integer"} for name in ("sequence", "leaf_index")}
    fields |= {
        "at": {"type": ["string", "null"], "format": "date-time"},
        "payload": {"type": ["object", "null"]},
    }
    made = {"live-event": {"event": {"type": "object", "properties": fields}}, "live-sign": {}}
    made["live-problem"] = {"problem": {"type": "object", "required": ["reason", "status", "detail"]}}
    return {
        name: {
            "type": "object",
            "properties": {**parts, "cursor": cursor},
            "required": [*parts, "cursor"],
            "additionalProperties": False,
        }
        for name, parts in made.items()
    }
