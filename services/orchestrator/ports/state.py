"""What is asked of state: packets, locks, the error budget, artifacts, handoffs."""

from datetime import datetime
from typing import Protocol

from kernel.events import Cause
from services.orchestrator.domain.records import ErrorCounts, Handoff, Packet


class StateDoor(Protocol):
    async def issue_packet(self, packet: Packet, cause: Cause) -> int:
        """The sequence of its event."""
        ...

    async def packet_of(self, agent_id: str, cause: Cause) -> Packet | None:
        """The packet the agent holds now, None if there is none."""
        ...

    async def packet_for(self, agent_id: str, task_id: str, cause: Cause) -> Packet | None:
        """The newest that the agent was given for this task, whichever it holds now; None if none is at hand."""
        ...

    async def acquire_lock(
        self, agent_id: str, task_id: str, holder: str, lease_seconds: int, cause: Cause
    ) -> int:
        """The fencing token. Raises CANNOT_ACQUIRE_LOCK (Refused or Conflict)."""
        ...

    async def advance(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        phase: str,
        fencing_token: int,
        lease_seconds: int,
        cause: Cause,
    ) -> ErrorCounts:
        """Heartbeat, lock renewal and position in one. Raises FENCING_TOKEN_STALE."""
        ...

    async def release_lock(
        self, agent_id: str, task_id: str, holder: str, fencing_token: int, cause: Cause
    ) -> None:
        """Done also when the lock is no longer held."""
        ...

    async def record_error(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        error_type: str,
        message: str,
        violation: bool,
        fencing_token: int,
        cause: Cause,
    ) -> tuple[ErrorCounts, int]:
        """The counts, and the sequence. Raises FENCING_TOKEN_STALE; 0 is no token, and then it counts in any case."""
        ...

    async def heartbeat(self, agent_id: str, cause: Cause) -> None: ...

    async def waits(
        self,
        agent_id: str,
        task_id: str,
        run_id: str,
        what: str,
        fencing_token: int,
        cause: Cause,
        until: datetime | None = None,
    ) -> None:
        """The agent's run waits for an approval, so that nobody takes it for stuck; for nothing when `what` is empty.

        With `until` it is something that is done by then. A lock that is taken says as well that it works again.
        Nothing is said of an agent that another run has by now.
        """
        ...

    async def put_artifact(
        self,
        content: bytes,
        name: str,
        media_type: str,
        task_id: str,
        run_id: str,
        cause: Cause,
        agent_id: str = "",
        fencing_token: int = 0,
    ) -> str:
        """Its hex SHA-256. Raises FENCING_TOKEN_STALE when it is stored under the agent's lock."""
        ...

    async def get_artifact(self, sha256: str, agent_id: str, run_id: str, cause: Cause) -> bytes:
        """The bytes, read by an agent for a run, which takes on the artifact's labels before it has them; or by nobody,
        with both empty.

        Raises:
            NotFound: it is kept no longer (ARTIFACT_UNKNOWN).
        """
        ...

    async def artifact_names(self, task_id: str, cause: Cause) -> frozenset[str]: ...

    async def write_handoff(self, handoff: Handoff, cause: Cause) -> None: ...
