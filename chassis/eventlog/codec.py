"""Between domain events and the bytes the log keeps.

A stored event's name is its proto full name; its class's short name equals the message's. Events are for
ever: what was published in an older shape is brought up to date as it is read, in steps from message to message, and
only then becomes a domain event. What is stored is never touched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message

from chassis.mapping import Mapper
from kernel.events import Recorded
from kernel.faults import Invalid

Upcaster = Callable[[Any], object]
"""From an old message to a domain event of today."""


@dataclass(frozen=True, slots=True)
class Upcast:
    """One step: what an old message is today. Pure: the same message always gives the same.

    `applies` tells old from new where both are of one type; without it every message of the type is old, and `turn`
    makes another type of it.
    """

    old: type[Message]
    new: type[Message]
    turn: Callable[[Any], Message]
    applies: Callable[[Any], bool] | None = None


class Upcasts:
    """All steps a reader knows. Each may lead to another one.

    Raises:
        TypeError: when built, if steps lead in a circle, or a type would be made of itself again and again.
    """

    def __init__(self, *steps: Upcast) -> None:
        self._steps: dict[str, list[Upcast]] = {}
        for step in steps:
            if step.applies is None and step.old is step.new:
                raise TypeError(f"{step.old.DESCRIPTOR.full_name} would be turned into itself for ever")
            self._steps.setdefault(step.old.DESCRIPTOR.full_name, []).append(step)
        for step in steps:
            self.target(step.old)

    @property
    def types(self) -> frozenset[type[Message]]:
        """Every type that has a step."""
        return frozenset(step.old for steps in self._steps.values() for step in steps)

    def target(self, message: type[Message]) -> type[Message]:
        """The type that messages of this type are in the end."""
        passed: list[type[Message]] = []
        while message not in passed:
            passed.append(message)
            onward = [
                step.new
                for step in self._steps.get(message.DESCRIPTOR.full_name, ())
                if step.new is not message
            ]
            if not onward:
                return message
            message = onward[0]
        raise TypeError(f"the upcasts of {message.DESCRIPTOR.full_name} lead in a circle")

    def parser(self, message: type[Message]) -> Callable[[bytes], Any]:
        """Reads the bytes of a message of this type, old or new, as what it is today. Raises DecodeError."""
        if message.DESCRIPTOR.full_name not in self._steps:
            return message.FromString

        def parse(payload: bytes) -> Message:
            return self._today(message.FromString(payload))

        return parse

    def _today(self, message: Message) -> Message:
        for step in self._steps.get(message.DESCRIPTOR.full_name, ()):
            if step.applies is None or step.applies(message):
                turned = step.turn(message)
                # Of the same type it is not asked again by this step, which would go round.
                return turned if step.old is step.new else self._today(turned)
        return message


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
    """The events one service knows; `to_messages` are for those that have to be quicker than by structure.

    Raises:
        TypeError: when built, if a class and its message do not agree.
    """

    def __init__(
        self,
        events: Mapping[type, type[Message]],
        upcasters: Mapping[type[Message], Upcaster] | None = None,
        *,
        upcasts: Upcasts | None = None,
        to_messages: Mapping[type, Callable[[Any], Message]] | None = None,
    ) -> None:
        self._upcasts = upcasts or Upcasts()
        self._encoders: dict[type, tuple[str, str, Callable[[Any], Message]]] = {}
        self._decoders: dict[str, tuple[str, Callable[[bytes], Any], Upcaster]] = {}
        for event, message in events.items():
            mapper: Mapper[Any, Any] = Mapper(event, message)
            if event.__name__ != message.DESCRIPTOR.name:
                raise TypeError(f"{event.__name__} and {message.DESCRIPTOR.full_name} are named differently")
            to_message = (to_messages or {}).get(event, mapper.to_message)
            self._encoders[event] = (event.__name__, message.DESCRIPTOR.full_name, to_message)
            self._add(message, mapper.to_record)
        for message, upcast in (upcasters or {}).items():
            self._add(message, upcast)
        for old in self._upcasts.types:
            read = self._decoders.get(self._upcasts.target(old).DESCRIPTOR.full_name)
            if read is not None and old.DESCRIPTOR.full_name not in self._decoders:
                self._add(old, read[2])

    def _add(self, message: type[Message], read: Upcaster) -> None:
        name = message.DESCRIPTOR.full_name
        if name in self._decoders:
            raise TypeError(f"{name} is given twice")
        self._decoders[name] = (message.DESCRIPTOR.name, self._upcasts.parser(message), read)

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
        short, parse, read = known
        if short != recorded.event_type:
            raise Unreadable(recorded, f"{name} does not belong on this subject")
        try:
            return read(parse(recorded.payload))
        except (DecodeError, Invalid) as problem:
            raise Unreadable(recorded, str(problem)) from None
