"""Words of a summary: enum names, lists and texts, none of them longer than a line has room for."""

from collections.abc import Iterable

from google.protobuf.message import Message

_MAX_TEXT = 200
_SEALED = "sealed:v1:"  # personal text as it is published; opened, if it still can be, when it is answered
_MAX_ITEMS = 6


def lock(token: int) -> str:
    return f" (lock {token})" if token else ""


def word(message: Message, field: str) -> str:
    """The name of an enum's value without its prefix; the number when this program does not know it."""
    enum, number = message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field)
    assert enum is not None
    known = enum.values_by_number.get(number)
    if known is None or not number:
        return str(number or "unknown")
    return str(known.name).removeprefix(enum.values_by_number[0].name.removesuffix("UNSPECIFIED"))


def listed(parts: Iterable[str]) -> str:
    every = list(parts)
    more = f"; and {len(every) - _MAX_ITEMS} more" if len(every) > _MAX_ITEMS else ""
    return "; ".join(every[:_MAX_ITEMS]) + more


def cut(text: str) -> str:
    line = " ".join(text.split())
    if _SEALED in line:
        return line  # half a seal cannot be opened
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"
