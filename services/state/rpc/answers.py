"""Answers as bytes, for what is asked again and again."""

from collections.abc import Callable, Hashable
from typing import Any

from google.protobuf.message import Message

from chassis.sealing import PREFIX

MOST_BYTES = 16 * 1024 * 1024
_BESIDE_BYTES = 500
"""What one answer takes besides its bytes, about."""
_SEALED = PREFIX.encode()


class Answers:
    """Each is good as long as it tells of the very same record: one that changes is replaced, never altered."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._room = most_bytes
        self._kept: dict[Hashable, tuple[object, object, bytes]] = {}

    def told(
        self, place: Hashable, record: object, make: Callable[[], Message], beside: object = None
    ) -> Any:
        """The answer that `make` makes of `record` and of what is `beside` it; bytes, unless it holds what is sealed.

        That is opened for some callers and not for others, and by the message (`chassis.rpc.opening`).
        """
        known = self._kept.get(place)
        if known is not None and known[0] is record and known[1] == beside:
            return known[2]
        answer = make()
        raw = answer.SerializeToString()
        self._drop(place)
        if _SEALED in raw:
            return answer
        self._kept[place] = (record, beside, raw)
        self._room -= len(raw) + _BESIDE_BYTES
        while self._room < 0:
            self._drop(next(iter(self._kept)))
        return raw

    def _drop(self, place: Hashable) -> None:
        known = self._kept.pop(place, None)
        if known is not None:
            self._room += len(known[2]) + _BESIDE_BYTES
