"""Why a peer cannot be reached, for the log and for whoever asked: looked into only when a call has failed."""

from typing import Protocol

import grpc
import grpc.aio

from chassis import process, telemetry
from chassis.rpc.faults import PeerFailed
from chassis.tls.certificates import Certificates
from chassis.tls.diagnosis import why_not
from kernel.faults import Fault, Unavailable

AGAIN_SECONDS = 5.0
_log = telemetry.get_logger("chassis.rpc")


class _Connected(Protocol):
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity: ...


class Explaining:
    """Of one channel; looks at most once in 5 seconds, and tells the log what is new."""

    def __init__(
        self, channel: _Connected, target: str, service: str, certificates: Certificates | None
    ) -> None:
        self._channel = channel
        self._about = (target, service, certificates)
        self._why = ""
        self._look_again = 0.0

    async def why(self) -> str:
        """What is wrong with its TLS; empty when nothing is, or something else is wrong."""
        if self._channel.get_state() is grpc.ChannelConnectivity.READY:
            return ""
        if process.monotonic() >= self._look_again:
            self._look_again = process.monotonic() + AGAIN_SECONDS
            before, self._why = self._why, await why_not(*self._about)
            if self._why and self._why != before:
                _log.error("peer cannot be called", why=self._why)
        return self._why

    async def of(self, fault: Fault | PeerFailed) -> Fault | PeerFailed:
        """`fault`, with what is wrong in its text when it says that nobody was reached."""
        if isinstance(fault, Unavailable) and fault.reason in {"PEER_UNREACHABLE", "DEADLINE_EXCEEDED"}:
            why = await self.why()
            if why:
                return Unavailable("PEER_UNREACHABLE", why)
        return fault
