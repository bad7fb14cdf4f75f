"""What was sealed is opened at the moment of answering, if the key is still there; else `[erased]` is told.

Between our own processes it stays sealed: who calls in the role `service` gets answers as they are.
"""

import json
from typing import Any, Protocol

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from chassis.rpc.cause import caller_of
from chassis.sealing import ERASED, PREFIX, Seal, key_id_of, key_ids, told

_MARK = PREFIX.encode()
_JSON = "_json"
"""Fields of this ending hold JSON: what is opened in them is escaped."""


class Seals(Protocol):
    async def seals(self, tenant: str, wanted: set[str]) -> dict[str, Seal]:
        """Those of `wanted` that are not gone, by key id."""
        ...


class Opening:
    """Fits `chassis.rpc.server.Server(tell=…)`. Answers named in `verbatim` are never looked into."""

    def __init__(self, keys: Seals, verbatim: frozenset[str] = frozenset()) -> None:
        self._keys = keys
        self._verbatim = verbatim

    async def __call__(self, answer: Any, context: Any) -> Any:
        """`answer`, opened in place.

        Raises:
            Unavailable: the keys cannot be reached.
        """
        if type(answer).__name__ in self._verbatim or not isinstance(answer, Message):
            return answer
        raw = answer.SerializeToString()
        if _MARK not in raw:
            return answer
        caller = caller_of(context)
        if "service" in caller.roles:
            return answer
        wanted = key_ids(raw.decode("latin-1"))
        content = getattr(answer, "content", b"")
        if isinstance(content, bytes) and (key_id := key_id_of(content)):
            wanted.add(key_id)
        seals = await self._keys.seals(caller.tenant, wanted)
        if isinstance(content, bytes) and content.startswith(_MARK):
            answer.content = _content(content, seals)  # type: ignore[attr-defined]
        _open(answer, seals)
        return answer


def _content(content: bytes, seals: dict[str, Seal]) -> bytes:
    seal = seals.get(key_id_of(content))
    try:
        return seal.open_bytes(content) if seal else ERASED.encode()
    except ValueError:
        return ERASED.encode()


def _open(message: Message, seals: dict[str, Seal]) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            inside = _escaped if field.name.endswith(_JSON) else None
            if field.is_repeated:
                value[:] = [told(each, seals, inside) for each in value]
            elif PREFIX in value:
                setattr(message, field.name, told(value, seals, inside))
        elif field.message_type is None:
            continue
        elif field.message_type.GetOptions().map_entry:
            _open_map(field, value, seals)
        elif field.is_repeated:
            for each in value:
                _open(each, seals)
        else:
            _open(value, seals)


def _open_map(field: FieldDescriptor, entries: Any, seals: dict[str, Seal]) -> None:
    assert field.message_type is not None
    kind = field.message_type.fields_by_name["value"]
    for key in list(entries):
        if kind.type == FieldDescriptor.TYPE_STRING:
            entries[key] = told(entries[key], seals)
        elif kind.message_type is not None:
            _open(entries[key], seals)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
