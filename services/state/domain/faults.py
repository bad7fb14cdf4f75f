"""What state refuses, as facts."""

from datetime import datetime

from kernel.faults import Conflict, Denied, Exhausted, Invalid, NotFound, Refused, Unavailable


class PacketInvalid(Invalid):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__("PACKET_INVALID", f"packet.{field} {problem}", field=f"packet.{field}")


class FieldInvalid(Invalid):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__("FIELD_INVALID", f"{field} {problem}", field=field)


class PageTokenInvalid(Invalid):
    def __init__(self) -> None:
        super().__init__(
            "PAGE_TOKEN_INVALID",
            "page_token must be empty or the next_page_token of the page before",
            field="page_token",
        )


class NoInstructionPacket(Refused):
    def __init__(self, agent_id: str, task_id: str) -> None:
        super().__init__(
            "NO_INSTRUCTION_PACKET",
            f"agent {agent_id} has no packet for task {task_id}: issue one first",
            agent_id=agent_id,
            task_id=task_id,
        )


class LockTaken(Conflict):
    def __init__(self, agent_id: str, holder: str, expire_time: datetime) -> None:
        super().__init__(
            "CANNOT_ACQUIRE_LOCK",
            f"agent {agent_id} is locked by {holder}: wait for its release, or until {expire_time.isoformat()}",
            agent_id=agent_id,
            holder=holder,
            expire_time=expire_time.isoformat(),
        )


class FencingTokenStale(Refused):
    def __init__(self, agent_id: str, presented: int, current: int) -> None:
        super().__init__(
            "FENCING_TOKEN_STALE",
            f"the lock of agent {agent_id} is no longer held under token {presented}: stop, and acquire it anew",
            agent_id=agent_id,
            presented_token=str(presented),
            current_token=str(current),
        )


class AgentIsRevoked(Denied):
    def __init__(self, agent_id: str) -> None:
        super().__init__("AGENT_REVOKED", f"agent {agent_id} is revoked and takes no lock", agent_id=agent_id)


class AgentStateUnknown(NotFound):
    def __init__(self, agent_id: str) -> None:
        super().__init__(
            "AGENT_STATE_UNKNOWN",
            f"nothing is known of agent {agent_id}: issue it a packet",
            agent_id=agent_id,
        )


class ArtifactTooLarge(Exhausted):
    def __init__(self, max_content_bytes: int) -> None:
        super().__init__(
            "ARTIFACT_TOO_LARGE",
            f"an artifact has at most {max_content_bytes} bytes: store it in parts",
            max_content_bytes=str(max_content_bytes),
        )


class ArtifactHashMismatch(Invalid):
    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            "ARTIFACT_HASH_MISMATCH",
            f"the content has SHA-256 {actual}, not {expected}",
            field="sha256",
            expected=expected,
            actual=actual,
        )


class ArtifactUnknown(NotFound):
    def __init__(self, sha256: str) -> None:
        super().__init__("ARTIFACT_UNKNOWN", f"there is no artifact {sha256}", sha256=sha256)


class HandoffUnknown(NotFound):
    def __init__(self, task_id: str) -> None:
        super().__init__("HANDOFF_UNKNOWN", f"task {task_id} has no handoff", task_id=task_id)


class StoreUnreachable(Unavailable):
    def __init__(self) -> None:
        super().__init__("STORE_UNREACHABLE", "the store does not answer; try again")
