"""Between domain events and the bytes the log keeps.

A stored event's name is its proto full name; its class's short name equals the message's. Events are for
ever: an old message that no longer has a class of its own is brought up to date by an upcaster as it is read.
"""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from chassis.mapping import Mapper
from kernel.events import Recorded
from kernel.faults import Invalid

Upcaster = Callable[[Any], object]
"""From an old message to a domain event of today."""


class Unreadable(Invalid):
    """An event that this program cannot read: unknown, damaged, or newer than the program."""

    def __init__(self, recorded: Recorded, problem: str) -> None:
        super().__init__(
            "UNREADABLE_EVENT",
            f"event {recorded.sequence} on {recorded.subject} cannot be read: {problem}",
            sequence=str(recorded.sequence),
            subject=recorded.subject,
        )


class Codec:
    """The events one service knows.

    Raises:
        TypeError: when built, if a class and its message do not agree.
    """

    def __init__(
        self,
        events: Mapping[type, type[Message]],
        upcasters: Mapping[type[Message], Upcaster] | None = None,
    ) -> None:
        self._encoders: dict[type, tuple[str, str, Callable[[Any], Message]]] = {}
        self._decoders: dict[str, tuple[str, type[Message], Upcaster]] = {}
        for event, message in events.items():
            mapper: Mapper[Any, Any] = Mapper(event, message)
            if event.__name__ != message.DESCRIPTOR.name:
                raise TypeError(f"{event.__name__} and {message.DESCRIPTOR.full_name} are named differently")
            self._encoders[event] = (event.__name__, message.DESCRIPTOR.full_name, mapper.to_message)
            self._add(message, mapper.to_record)
        for message, upcast in (upcasters or {}).items():
            self._add(message, upcast)

    def _add(self, message: type[Message], read: Upcaster) -> None:
        name = message.DESCRIPTOR.full_name
        if name in self._decoders:
            raise TypeError(f"{name} is given twice")
        self._decoders[name] = (message.DESCRIPTOR.name, message, read)

    @property
    def event_types(self) -> frozenset[str]:
        """The short names of all events that can be read."""
        return frozenset(short for short, _, _ in self._decoders.values())

    def encode(self, event: object) -> tuple[str, str, bytes]:
        """The short name, the proto full name and the payload; the same event always gives the same bytes.

        Raises:
            Invalid: a value does not fit its field.
            TypeError: the event is not in the table.
        """
        known = self._encoders.get(type(event))
        if known is None:
            raise TypeError(f"{type(event).__name__} is not in this codec's table")
        short, full, to_message = known
        return short, full, to_message(event).SerializeToString(deterministic=True)

    def decode(self, recorded: Recorded) -> object:
        """The domain event.

        Raises:
            Unreadable: unknown type, damaged payload, or a name that is not the subject's.
        """
        name = recorded.headers.get("ce-type", "")
        known = self._decoders.get(name)
        if known is None:
            raise Unreadable(recorded, f"unknown type {name!r}")
        short, message, read = known
        if short != recorded.event_type:
            raise Unreadable(recorded, f"{name} does not belong on this subject")
        try:
            return read(message.FromString(recorded.payload))
        except (DecodeError, Invalid) as problem:
            raise Unreadable(recorded, str(problem)) from None
