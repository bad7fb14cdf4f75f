"""The NATS protocol as far as messages go, read without regular expressions: half of what nats-py's parser costs.

Whole messages for the raw lane are handed over in a plain loop; everything else (INFO, PING, -ERR, a message in the
middle when it takes over) is left to nats-py. Pinned by a test, like the rest of the raw lane.
"""

from collections.abc import Callable
from typing import Any

from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

_END = b"\r\n"
Sinks = dict[int, Callable[[bytes, bytes, bytes, bytes | None], None]]


class RawParser(Parser):
    """nats-py's parser with a fast path for subscriptions in `sinks`."""

    def __init__(self, connection: Any, sinks: Sinks) -> None:
        super().__init__(connection)
        self._sinks = sinks
        self._parsing = False

    def take(self, data: bytes) -> bytes:
        """Hand over what is whole, where it arrives; what nats-py has to look at comes back, for `parse`."""
        if self._parsing or self.state != AWAITING_CONTROL_LINE:
            return data
        self.buf += data
        try:
            left = self._hand_over()
        except (ValueError, IndexError):
            left = True  # `parse` will stumble over it too, and there it is caught
        if not left:
            return b""
        rest = bytes(self.buf)
        self.buf.clear()
        return rest

    async def parse(self, data: bytes = b"") -> None:
        self._parsing = True
        try:
            await self._parse(data)
        finally:
            self._parsing = False

    async def _parse(self, data: bytes) -> None:
        self.buf += data
        if self.state != AWAITING_CONTROL_LINE:
            # nats-py has read a control line and waits for its payload: let it have just that.
            needed = self.needed + len(_END)
            if len(self.buf) < needed:
                return
            rest = self.buf[needed:]
            del self.buf[needed:]
            await super().parse()
            self.buf += rest
        try:
            left = self._hand_over()
        except (ValueError, IndexError):
            raise ProtocolError("nats: malformed message") from None
        if left:
            await super().parse()

    def _hand_over(self) -> bool:
        """Pass on the whole messages at the front; whether nats-py has to look at what comes then."""
        buffer, sinks = self.buf, self._sinks
        find, held = buffer.find, len(buffer)
        at = 0
        try:
            while at < held:
                end = find(_END, at)
                if end < 0:
                    return False
                line = bytes(buffer[at:end]).split()
                operation = line[0]
                if operation == b"HMSG":
                    begin = end + 2
                    stop = begin + int(line[-1])
                    middle = begin + int(line[-2])
                    reply = line[3] if len(line) == 6 else b""
                elif operation == b"MSG":
                    begin = middle = end + 2
                    stop = begin + int(line[-1])
                    reply = line[3] if len(line) == 5 else b""
                else:
                    return True
                if stop + 2 > held:
                    return False
                sink = sinks.get(int(line[2]))
                if sink is None:
                    return True
                header = bytes(buffer[begin:middle]) if middle > begin else None
                sink(line[1], reply, bytes(buffer[middle:stop]), header)
                at = stop + 2
            return False
        finally:
            del buffer[:at]
