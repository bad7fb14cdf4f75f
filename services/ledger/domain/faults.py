"""What the ledger refuses, and why."""

from kernel.faults import Conflict, Exhausted, Invalid, NotFound, Refused, Unavailable


class PageTokenInvalid(Invalid):
    """Not a page token, or one of another question."""

    def __init__(self) -> None:
        super().__init__(
            "PAGE_TOKEN_INVALID",
            "this page token does not belong to this list, filter and order; begin again without one",
            field="page_token",
        )


class CursorInvalid(Invalid):
    """Not a watch's cursor, or one of another filter, or of another tenant."""

    def __init__(self) -> None:
        super().__init__(
            "CURSOR_INVALID",
            "this cursor does not belong to a watch of yours with this filter; begin again without one",
            field="cursor",
        )


class WatchTooSlow(Exhausted):
    """Whoever watches does not read; what it has not read is kept for it behind the cursor."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            "WATCH_TOO_SLOW", "nothing was read for too long; watch again from the cursor", cursor=cursor
        )


class RunUnknown(NotFound):
    def __init__(self, run_id: str) -> None:
        super().__init__(
            "RUN_UNKNOWN", f"the ledger has no event of a run {run_id!r} of yours", run_id=run_id
        )


class EffectUnknown(NotFound):
    def __init__(self, effect_id: str) -> None:
        text = f"the ledger has no effect {effect_id!r} of yours"
        super().__init__("EVENT_UNKNOWN", text, effect_id=effect_id)


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


class LeafOutOfRange(Invalid):
    """A tree of that size has no such leaf."""

    def __init__(self, index: int, size: int) -> None:
        super().__init__(
            "TREE_SIZE_OUT_OF_RANGE",
            f"leaf_index is {index}; a tree of {size} leaves has 0 to {size - 1}",
            field="leaf_index",
            size=str(size),
        )


class TileUnknown(NotFound):
    """The newest signed head does not cover it."""

    def __init__(self, level: int, index: int, width: int, there: int, size: int) -> None:
        what = (
            f"{min(there, 256)} hashes of tile {level}/{index}"
            if there
            else f"nothing of tile {level}/{index}"
        )
        super().__init__(
            "TILE_UNKNOWN",
            f"the signed tree of {size} leaves has {what}, not {width}",
            level=str(level),
            index=str(index),
            width=str(width),
            there=str(min(there, 256)),
            tree_size=str(size),
        )


class NotCovered(Unavailable):
    """No signed head covers the event yet, or there is no such event: try again."""

    def __init__(self, event_id: str) -> None:
        super().__init__(
            "LEDGER_BEHIND",
            f"no signed head covers an event {event_id!r} of yours yet; try again if it was published",
            event_id=event_id,
        )


class ExportRunning(Refused):
    """It reads and writes everything there is: one at a time is enough."""

    def __init__(self) -> None:
        super().__init__("EXPORT_RUNNING", "an export is going on here; wait for it, or try again later")


class LedgerDiverged(Refused):
    """Ledger, signer and event log do not tell one story; nothing goes on until a person has looked."""

    def __init__(self, text: str, sequence: int = 0) -> None:
        super().__init__("LEDGER_DIVERGED", text, **({"sequence": str(sequence)} if sequence else {}))


class StreamRegression(Refused):
    """The event log is shorter than what the ledger has already seen of it, or begins later."""

    def __init__(self, text: str, sequence: int) -> None:
        super().__init__("STREAM_REGRESSION", text, sequence=str(sequence))


class NothingToRepair(Refused):
    def __init__(self, last: int) -> None:
        super().__init__(
            "NOTHING_TO_REPAIR", f"the event log holds all that the ledger has kept of it, up to {last}"
        )


class WriterFenced(Conflict):
    """Another writer has moved the ledger on: read the position again."""

    def __init__(self, expected: int) -> None:
        super().__init__(
            "APPEND_CONFLICT",
            f"another writer has moved the ledger past sequence {expected}",
            expected_sequence=str(expected),
        )
