"""What a run refuses, and why."""

from kernel.faults import Exhausted, Invalid, NotFound, Refused


class RunUnknown(NotFound):
    def __init__(self, run_id: str) -> None:
        super().__init__(
            "RUN_UNKNOWN",
            f"there is no run {run_id!r} here; `provost runs list` shows those there are",
            run_id=run_id,
        )


class RunOver(Refused):
    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(
            "RUN_ENDED", f"run {run_id} has ended ({state}); start another", run_id=run_id, state=state
        )


class IllegalTransition(Refused):
    def __init__(self, run_id: str, before: str, wanted: str) -> None:
        super().__init__(
            "ILLEGAL_TRANSITION",
            f"run {run_id} cannot go from {before} to {wanted}",
            run_id=run_id,
            phase=before,
            wanted=wanted,
        )


class LogEmpty(Invalid):
    def __init__(self) -> None:
        super().__init__(
            "LOG_EMPTY", "the log is empty: send at least one line with something on it", field="log"
        )


class LogCompressed(Invalid):
    def __init__(self, form: str, command: str) -> None:
        super().__init__(
            "FIELD_INVALID",
            f"the log is compressed ({form}): decompress it first, with `{command}`, and send the text",
            field="log",
        )


class LogTooLarge(Exhausted):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            "LOG_TOO_LARGE",
            f"the log is larger than {limit_bytes} bytes: send a part of it",
            limit_bytes=str(limit_bytes),
        )


class NoAgentFree(Refused):
    def __init__(self, why: str) -> None:
        super().__init__("NO_AGENT_FREE", why)


class ProposalInvalid(Invalid):
    def __init__(self, why: str) -> None:
        super().__init__("PROPOSAL_INVALID", why)


class RequestIdReused(Invalid):
    """The run that it has begun is not the answer to this."""

    def __init__(self) -> None:
        text = "request_id was used before for something else: give every request an id of its own"
        super().__init__("FIELD_INVALID", text, field="request_id")
