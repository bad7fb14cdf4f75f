"""Events as protobuf messages. Pages end early where a message would grow too large."""

from collections.abc import Iterator, Sequence

from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import Entry
from services.ledger.domain.position import Position
from services.ledger.domain.questions import EventQuestion, Listed, token_of, watch_cursor
from services.ledger.domain.steps import Step, Traced, Watched
from services.ledger.wire.payloads import payload_json
from services.ledger.wire.summaries import summary_of
from services.ledger.wire.times import to_wire

MAX_ANSWER_BYTES = 3 * 1024 * 1024


def event_to_wire(entry: Entry, position: Position) -> pb.LedgerEvent:
    headers = entry.headers
    return pb.LedgerEvent(
        sequence=entry.sequence,
        leaf_index=position.index_of(entry.sequence),
        event_id=entry.event_id,
        subject=entry.subject,
        event_type=entry.event_type,
        actor=entry.actor,
        correlation_id=entry.correlation_id,
        causation_id=entry.causation_id,
        at=to_wire(entry.at_us),
        payload=entry.payload,
        payload_json=payload_json(headers.get("ce-type", ""), entry.payload),
        leaf_hash=entry.leaf_hash,
        headers=headers,
    )


def events_to_wire(
    question: EventQuestion, found: Listed[Entry], position: Position
) -> pb.ListEventsResponse:
    """A page that fits into one message: it ends earlier when events are large once they are spelled out."""
    answer = pb.ListEventsResponse(next_page_token=token_of(question, found.end))
    n_bytes = 0
    for row in found.rows:
        event = event_to_wire(row, position)
        n_bytes += event.ByteSize()
        if answer.events and n_bytes > MAX_ANSWER_BYTES:
            answer.next_page_token = token_of(question, (answer.events[-1].sequence,))
            return answer
        answer.events.append(event)
    return answer


def watched_to_wire(
    question: EventQuestion, watched: Watched, position: Position
) -> Iterator[pb.WatchEventsResponse]:
    """What was watched in messages that are not too large; the last one's cursor stands behind all of it."""
    answer = pb.WatchEventsResponse(ledger_sequence=position.last)
    n_bytes = 0
    for row in watched.rows:
        event = event_to_wire(row, position)
        n_bytes += event.ByteSize()
        if answer.events and n_bytes > MAX_ANSWER_BYTES:
            answer.cursor = watch_cursor(question, answer.events[-1].sequence)
            yield answer
            answer = pb.WatchEventsResponse(ledger_sequence=position.last)
            n_bytes = event.ByteSize()
        answer.events.append(event)
    answer.cursor = watch_cursor(question, watched.upto)
    yield answer


def steps_to_wire(steps: Sequence[Step], position: Position, run_id: str = "") -> list[pb.Step]:
    """Steps with a line each; of events that tell of several runs, the line tells of `run_id`."""
    return [
        pb.Step(
            event=event_to_wire(each.entry, position),
            caused_by_sequence=each.caused_by,
            summary=summary_of(each.entry, run_id),
        )
        for each in steps
    ]


def traced_to_wire(traced: Traced, position: Position) -> pb.TraceCausesResponse:
    """A chain that fits into one message: of one that does not, the newest steps."""
    runs = {each.entry.correlation_id for each in traced.steps} - {""}
    steps = steps_to_wire(traced.steps, position, runs.pop() if len(runs) == 1 else "")
    answer = pb.TraceCausesResponse(incomplete=traced.incomplete)
    n_bytes, first = 0, len(steps)
    for n, step in reversed(list(enumerate(steps))):
        n_bytes += step.ByteSize()
        if n_bytes > MAX_ANSWER_BYTES and first < len(steps):
            answer.incomplete = True
            break
        first = n
    answer.steps.extend(steps[first:])
    return answer


def replay_to_wire(question: EventQuestion, found: Listed[Step], position: Position) -> pb.ReplayRunResponse:
    """A page that fits into one message."""
    answer = pb.ReplayRunResponse(next_page_token=token_of(question, found.end))
    n_bytes = 0
    for step in steps_to_wire(found.rows, position, question.run_id):
        n_bytes += step.ByteSize()
        if answer.steps and n_bytes > MAX_ANSWER_BYTES:
            answer.next_page_token = token_of(question, (answer.steps[-1].event.sequence,))
            return answer
        answer.steps.append(step)
    return answer
