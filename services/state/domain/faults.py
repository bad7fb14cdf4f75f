"""What state refuses, as facts."""

from datetime import datetime

from kernel.faults import Conflict, Denied, Exhausted, Invalid, NotFound, Refused, Unavailable


class PacketInvalid(Invalid):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__("PACKET_INVALID", f"packet.{field} {problem}", field=f"packet.{field}")


class FieldInvalid(Invalid):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__("FIELD_INVALID", f"{field} {problem}", field=field)


class RequestIdReused(FieldInvalid):
    """What it was answered with then is not the answer to this."""

    def __init__(self) -> None:
        super().__init__(
            "request_id", "was used before for something else: give every request an id of its own"
        )


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
            f"agent {agent_id} has no packet for task {task_id}: start a run of it for this task, which gives it one",
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


class LockPromised(Conflict):
    def __init__(self, agent_id: str, waiting: int) -> None:
        super().__init__(
            "CANNOT_ACQUIRE_LOCK",
            f"{waiting} wait for the lock of agent {agent_id}: ask with wait_seconds to have a turn behind them",
            agent_id=agent_id,
            waiting=str(waiting),
        )


class TooManyWait(Exhausted):
    def __init__(self, agent_id: str, most: int, what: str = "") -> None:
        super().__init__(
            "CANNOT_ACQUIRE_LOCK",
            f"{most} wait for {what or f'the lock of agent {agent_id}'} already, and no more may: try again later",
            agent_id=agent_id,
            waiting=str(most),
        )


class FencingTokenStale(Refused):
    def __init__(self, agent_id: str, presented: int, current: int) -> None:
        text = f"the lock of agent {agent_id} is no longer held under token {presented}: stop, and acquire it anew"
        if not presented:
            text = f"another run holds the lock of agent {agent_id}: show the token of the lock, or stop"
        super().__init__(
            "FENCING_TOKEN_STALE",
            text,
            agent_id=agent_id,
            presented_token=str(presented),
            current_token=str(current),
        )


class AgentIsRevoked(Denied):
    def __init__(self, agent_id: str) -> None:
        text = f"agent {agent_id} is revoked: it takes no lock, writes nothing and reads nothing labelled any more"
        super().__init__("AGENT_REVOKED", text, agent_id=agent_id)


class AgentStateUnknown(NotFound):
    def __init__(self, agent_id: str) -> None:
        super().__init__(
            "AGENT_STATE_UNKNOWN",
            f"nothing is known of agent {agent_id}: it has had no run; start one",
            agent_id=agent_id,
        )


class ArtifactTooLarge(Exhausted):
    def __init__(self, max_content_bytes: int) -> None:
        super().__init__(
            "ARTIFACT_TOO_LARGE",
            f"an artifact has at most {max_content_bytes} bytes: store it in parts",
            max_content_bytes=str(max_content_bytes),
        )


class ArtifactsFull(Exhausted):
    def __init__(self, task_id: str, most: int) -> None:
        super().__init__(
            "ARTIFACTS_FULL",
            f"task {task_id} has {most} artifacts, and no more fit: put several into one, or begin another task",
            task_id=task_id,
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


class StoreSpoiled(StoreUnreachable):
    """It answers, with what the log never said: until it is filled anew it is as good as away."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what


class PacketUnknown(NotFound):
    def __init__(self, agent_id: str, version: int, newest: int = 0) -> None:
        which = f"version {version}" if version else "any version"
        said = f"agent {agent_id} has no packet of {which}"
        if 0 < version < newest:
            said = f"{which} of agent {agent_id}'s packet is no longer kept: it is at version {newest}"
        super().__init__("PACKET_UNKNOWN", said, agent_id=agent_id)


class LockNotHeld(Refused):
    def __init__(self, agent_id: str) -> None:
        super().__init__("LOCK_NOT_HELD", f"nobody holds the lock of agent {agent_id}", agent_id=agent_id)


class EntryUnknown(NotFound):
    def __init__(self, section: str, key: str) -> None:
        super().__init__("ENTRY_UNKNOWN", f"there is no entry {section}/{key}", section=section, key=key)


class EntryChanged(Conflict):
    def __init__(self, section: str, key: str, expected: int, current: int) -> None:
        super().__init__(
            "ENTRY_CHANGED",
            f"entry {section}/{key} is at version {current}, not {expected}: read it, and write again",
            section=section,
            key=key,
            expected_version=str(expected),
            current_version=str(current),
        )


class EntryTooLarge(Exhausted):
    def __init__(self, n_bytes: int, most: int) -> None:
        super().__init__(
            "ENTRY_TOO_LARGE",
            f"the value has {n_bytes} bytes; at most {most} fit: put more into an artifact and name its hash",
            max_bytes=str(most),
        )


class BoardFull(Exhausted):
    def __init__(self, task_id: str, most: str) -> None:
        super().__init__(
            "BOARD_FULL",
            f"the board of task {task_id} holds at most {most}: take entries off with an empty value",
            task_id=task_id,
        )


class MessageTooLarge(Exhausted):
    def __init__(self, n_bytes: int, most: int) -> None:
        super().__init__(
            "MESSAGE_TOO_LARGE",
            f"the body has {n_bytes} bytes; at most {most} fit: put more into an artifact and name its hash",
            max_bytes=str(most),
        )


class RecipientUnknown(Invalid):
    """Without an `agent_id`: it was for all of the task, and nobody else is."""

    def __init__(self, field: str, agent_id: str, task_id: str) -> None:
        who = f"{agent_id} does not work" if agent_id else "nobody else works"
        super().__init__(
            "RECIPIENT_UNKNOWN",
            f"{field}: {who} on task {task_id}; who has taken its lock for it does",
            field=field,
            agent_id=agent_id,
            task_id=task_id,
        )


class InboxFull(Exhausted):
    def __init__(self, task_id: str, agent_ids: list[str], most: int, most_bytes: int) -> None:
        shown = ", ".join(agent_ids[:10]) + (" …" if len(agent_ids) > 10 else "")
        who = shown if len(agent_ids) == 1 else f"each of {shown}"
        super().__init__(
            "INBOX_FULL",
            f"{most} messages or {most_bytes} bytes of task {task_id} wait for {who}: nothing more is sent there until "
            "some are acknowledged, by the agent or by an operator in its name",
            task_id=task_id,
            agent_ids=shown,
        )


class LabelUnknown(Invalid):
    def __init__(self, label: str, known: frozenset[str], version: str) -> None:
        has = ", ".join(sorted(known)) or "none"
        super().__init__(
            "LABEL_UNKNOWN",
            f"policy set {version} has no label {label!r}: use one of its own ({has}), or publish a set with it",
            label=label,
            policy_version=version,
        )


class CheckpointUnknown(NotFound):
    def __init__(self, run_id: str, number: int) -> None:
        which = f"checkpoint {number}" if number else "checkpoint"
        super().__init__(
            "CHECKPOINT_UNKNOWN", f"run {run_id} has no {which} any more, or never had", run_id=run_id
        )


class TaskUnknown(NotFound):
    def __init__(self, task_id: str) -> None:
        text = f"nothing is known of task {task_id}: see `provost tasks` for those that there are"
        super().__init__("TASK_UNKNOWN", text, task_id=task_id)


class CursorInvalid(Invalid):
    """Not a watch's cursor, or one of another filter, or of another tenant."""

    def __init__(self) -> None:
        super().__init__(
            "CURSOR_INVALID",
            "this cursor does not belong to a watch of yours with this filter; begin again without one",
            field="cursor",
        )


class CursorExpired(Refused):
    """What has changed since is no longer known one by one."""

    def __init__(self) -> None:
        super().__init__(
            "CURSOR_EXPIRED",
            "more has changed behind this cursor than is kept; begin again without one, with what is there now",
        )


class WatchTooSlow(Exhausted):
    """Whoever watches does not read; what it has not read is kept for it behind the cursor for a while."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            "WATCH_TOO_SLOW", "nothing was read for too long; watch again from the cursor", cursor=cursor
        )


class TooManyWatches(Exhausted):
    def __init__(self, most: int) -> None:
        super().__init__(
            "TOO_MANY_WATCHES",
            f"{most} watches are open here, and no more may be: try again later, or ask another replica",
            most=str(most),
        )


class WatchInterrupted(Unavailable):
    """This process stops."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            "SHUTTING_DOWN", "this server is stopping; watch again from the cursor", cursor=cursor
        )
