"""What the ledger refuses, and why."""

from kernel.faults import Conflict, Invalid, NotFound, Refused, Unavailable


class PageTokenInvalid(Invalid):
    """Not a page token, or one of another question."""

    def __init__(self) -> None:
        super().__init__(
            "PAGE_TOKEN_INVALID",
            "this page token does not belong to this list, filter and order; begin again without one",
            field="page_token",
        )


class EventUnknown(NotFound):
    def __init__(self, event_id: str) -> None:
        super().__init__("EVENT_UNKNOWN", f"the ledger has no event {event_id!r} of yours", event_id=event_id)


class TreeSizeOutOfRange(Invalid):
    def __init__(self, field: str, size: int, least: int, most: int) -> None:
        super().__init__(
            "TREE_SIZE_OUT_OF_RANGE",
            f"{field} is {size}; it must be from {least} to {most}",
            field=field,
            size=str(size),
            least=str(least),
            most=str(most),
        )


class LedgerBehind(Unavailable):
    """It may get there: try again."""

    def __init__(self, wanted: int, reached: int) -> None:
        super().__init__(
            "LEDGER_BEHIND",
            f"the ledger has reached sequence {reached}, not yet {wanted}; try again",
            wanted_sequence=str(wanted),
            reached_sequence=str(reached),
        )


class LedgerDiverged(Refused):
    """Ledger, signer and event log do not tell one story; nothing goes on until a person has looked."""

    def __init__(self, text: str, sequence: int = 0) -> None:
        super().__init__("LEDGER_DIVERGED", text, **({"sequence": str(sequence)} if sequence else {}))


class StreamRegression(Refused):
    """The event log is shorter than what the ledger has already seen of it, or begins later."""

    def __init__(self, text: str, sequence: int) -> None:
        super().__init__("STREAM_REGRESSION", text, sequence=str(sequence))


class WriterFenced(Conflict):
    """Another writer has moved the ledger on: read the position again."""

    def __init__(self, expected: int) -> None:
        super().__init__(
            "APPEND_CONFLICT",
            f"another writer has moved the ledger past sequence {expected}",
            expected_sequence=str(expected),
        )
