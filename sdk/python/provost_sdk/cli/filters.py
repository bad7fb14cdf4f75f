"""The options by which what happened is filtered, and times as people write and read them."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from provost_sdk.cli.session import misused


def event_types() -> dict[str, str]:
    """The full name of every event that the contracts know, by its own."""
    from provost.event.v1 import keys_pb2
    from provost.gateway.v1 import events_pb2 as gateway
    from provost.ledger.v1 import events_pb2 as ledger
    from provost.orchestrator.v1 import events_pb2 as orchestrator
    from provost.policy.v1 import events_pb2 as policy
    from provost.state.v1 import events_pb2 as state

    files = (keys_pb2, gateway, ledger, orchestrator, policy, state)
    messages = [each for file in files for each in file.DESCRIPTOR.message_types_by_name.values()]
    parts = {field.message_type.full_name for each in messages for field in each.fields if field.message_type}
    return {each.name: each.full_name for each in messages if each.full_name not in parts}


def _known(event_type: str) -> str:
    """The name by which events are found, of it or of the full one; what no contract knows ends the command."""
    if not event_type:
        return ""
    from difflib import get_close_matches

    from provost_sdk.cli.show import inert

    known = event_types()
    name = event_type.rpartition(".")[2]
    if name not in known or event_type not in (name, known[name]):
        spelled = {each.lower(): each for each in known}
        near = " or ".join(spelled[each] for each in get_close_matches(name.lower(), spelled))
        like = f"; {near}?" if near else ": docs/events.md has all"
        misused(f"--type: there is no event {inert(event_type)}{like}")
    return name


Agent = Annotated[str, typer.Option("--agent", help="Only of or by this agent.")]
Task = Annotated[str, typer.Option("--task", help="Only of this task.")]
RunId = Annotated[str, typer.Option("--run", help="Only of this run.")]
Action = Annotated[str, typer.Option("--action", help="Only about this action, as ansible.check.")]
Decision = Annotated[str, typer.Option("--decision", help="Only ALLOW, DENY or NEEDS_APPROVAL.")]
Since = Annotated[
    str, typer.Option("--since", help="From this time on, RFC 3339, UTC unless it says otherwise.")
]
Until = Annotated[str, typer.Option("--until", help="Before this time.")]
EventType = Annotated[str, typer.Option("--type", callback=_known, help="Only these, as AgentRevoked.")]
Actor = Annotated[str, typer.Option("--actor", help="Only caused by, as key:alice or agent:sre-1.")]
Context = Annotated[str, typer.Option("--context", help="Only of this service, as policy.")]
Aggregate = Annotated[str, typer.Option("--aggregate", help="Only of such things, as approval.")]
AggregateId = Annotated[str, typer.Option("--id", help="Only of the thing with this id.")]
Correlation = Annotated[str, typer.Option("--correlation", help="Only with this correlation id.")]


def clock(at: Any) -> str:
    """A time of the protos for people, UTC."""
    return str(at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3])


def time_in(text: str, option: str, also: str = "") -> datetime | None:
    """The time in an option, None when it is not given; what is no time ends the command, and `also` is told."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        misused(f"{option}: {text!r} is no time; write it as 2026-03-01T12:00:00Z or 2026-03-01{also}")
    try:
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except OverflowError:
        misused(f"{option}: {text!r} is beyond the years 1 to 9999, UTC")


def times_in(since: str, until: str) -> dict[str, datetime | None]:
    """Both ends of a time, as the client takes them."""
    return {"from_time": time_in(since, "--since"), "to_time": time_in(until, "--until")}
