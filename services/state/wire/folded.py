"""The fold of the log as bytes: in pieces that are quickly made, and read only by the program that wrote them.

What an event does, and which messages are events, may change with the program, so that the format names the program
text it was folded by: another version folds the log anew, once. Reading makes records of state's and nothing else,
whatever the bytes say: a name in them is that of a record, in the module that has it.
"""

import hashlib
import io
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chassis.eventlog import headers
from kernel import decider, events
from provost.policy.v1 import events_pb2 as policy_events
from provost.state.v1 import events_pb2, state_pb2
from services.state import domain
from services.state.domain.growing import Growing
from services.state.domain.recent import Recent
from services.state.domain.taken import still
from services.state.domain.view import View

_AT_ONCE = 20
_LENGTH_BYTES = 4
_BUILT = {
    ("datetime", "datetime"),
    ("datetime", "timezone"),
    ("datetime", "timedelta"),
    ("kernel.events", "Head"),
}
_OURS = domain.__name__ + "."

Entry = tuple[Any, ...]


class Foreign(Exception):
    """Not a fold that this program wrote."""


_STATE, _EVENTLOG = Path(domain.__path__[0]).parent, Path(headers.__file__).parent
PROGRAM = (
    *sorted((_STATE / "domain").glob("*.py")),
    *(_STATE / "adapters" / name for name in ("aggregates.py", "sequencing.py")),
    _STATE / "reactor" / "follow.py",
    *(_STATE / "wire" / name for name in ("codec.py", "folded.py")),
    *(_EVENTLOG / name for name in ("aggregates.py", "codec.py", "headers.py", "held.py")),
    _EVENTLOG.parent / "mapping.py",
    *(Path(decider.__file__), Path(events.__file__)),
    *(Path(policy_events.__file__), Path(events_pb2.__file__), Path(state_pb2.__file__)),
)
"""All by which a fold comes to what it is: what events there are, which count, how they are read, and what they do."""


def format_of(program: Sequence[Path]) -> bytes:
    """How a fold begins that this program text made."""
    digest = hashlib.sha256()
    for source in program:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return b"provost state " + digest.hexdigest().encode() + b"\n"


FORMAT = format_of(PROGRAM)


def pieces(view: View, kinds: Sequence[Sequence[Entry]]) -> Iterator[bytes]:
    """`view`, which must stand still, and what is remembered of each kind of aggregate, to be read all together."""
    yield FORMAT
    for name, value in vars(view).items():
        if isinstance(value, dict):
            entries = iter(value.items())
            while some := list(islice(entries, _AT_ONCE)):
                yield _piece((name, None, some))
        else:
            yield _piece((name, value, ()))
    for number, kind in enumerate(kinds):
        for start in range(0, len(kind), _AT_ONCE):
            yield _piece(("", number, [tuple(each) for each in kind[start : start + _AT_ONCE]]))


def unfolded(content: bytes, n_kinds: int) -> tuple[View, list[list[Entry]]]:
    """What `pieces` was given.

    Raises:
        Foreign: these are no such bytes, or another version wrote them.
    """
    if not content.startswith(FORMAT):
        raise Foreign("another version of the program wrote it")
    view, kinds = still(View()), [list[Entry]() for _ in range(n_kinds)]
    at = len(FORMAT)
    try:
        while at < len(content):
            length = int.from_bytes(content[at : at + _LENGTH_BYTES], "big")
            at += _LENGTH_BYTES
            name, value, entries = _Reader(io.BytesIO(content[at : at + length])).load()
            at += length
            if not name:
                kinds[value] += entries
            elif name not in vars(view):
                raise Foreign(f"the view has no {name}")
            elif value is None:
                getattr(view, name).update(entries)
            else:
                setattr(view, name, value)
    except Exception as problem:  # pickle raises whatever the bytes lead it to
        raise Foreign(repr(problem)) from problem
    return view, kinds


class _Writer(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, MappingProxyType):
            return _frozen, (dict(value),)
        return NotImplemented


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _frozen.__name__):
            return _frozen
        if (module, name) in _BUILT:
            return super().find_class(module, name)
        # With a dot in it, a name reaches whatever the modules have imported that have one of ours.
        if module.startswith(_OURS) and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module and _is_record(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no record of state's")


def _is_record(kind: type) -> bool:
    return is_dataclass(kind) or issubclass(kind, (Enum, tuple, Growing, Recent))


def _frozen(table: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(table)


def _piece(what: object) -> bytes:
    made = io.BytesIO()
    _Writer(made, pickle.HIGHEST_PROTOCOL).dump(what)
    content = made.getvalue()
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content
