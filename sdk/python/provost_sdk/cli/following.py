"""`provost ledger why`, `replay` and `watch`: what led to something, a run again, and what happens now."""

import asyncio
import sys
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli.filters import (
    Action,
    Actor,
    Agent,
    Aggregate,
    AggregateId,
    Context,
    Correlation,
    Decision,
    EventType,
    RunId,
    Task,
    clock,
)
from provost_sdk.cli.session import Address, AsJson, Key, ask, misused, print_json

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.client import Provost

QUIET_SECONDS = 45.0
"""A watch says something every ten seconds: one that has been quiet for so long is over."""
_MAX_LINE = 400
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0


def why(
    event_id: Annotated[
        str, typer.Argument(help="The event's id, as `provost ledger events` shows it.")
    ] = "",
    effect: Annotated[str, typer.Option("--effect", metavar="EFFECT_ID", help="An effect instead.")] = "",
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Everything that led to an event or an effect, oldest first: when, who, what."""
    if bool(event_id) == bool(effect):
        misused("Name an event, or an effect with --effect.")
    answer = ask("operator", address, key, lambda provost: provost.trace_causes(event_id, effect_id=effect))
    if as_json:
        from provost_sdk.models import as_dict

        print_json(as_dict(answer))
        return
    what = f"effect {effect}" if effect else f"event {event_id}"
    _say(f"What led to {what}, oldest first; times are UTC:", "bold")
    if answer.incomplete:
        _say(
            "There was more before this: the chain is longer, or an event that it names is not there.",
            "yellow",
        )
    _tell(answer.steps)


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many steps.")] = 1000,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """A run from its events alone, step by step."""
    from provost_sdk.history_calls import gather

    async def question(provost: "Provost") -> list[Any]:
        return await gather(
            lambda size, token: provost.replay_run(run, page_size=size, page_token=token), limit
        )

    steps = ask("operator", address, key, question)
    if as_json:
        from provost_sdk.models import as_dict

        print_json([as_dict(each) for each in steps])
        return
    _say(f"Run {run} in {len(steps)} events, oldest first; times are UTC:", "bold")
    _tell(steps)


def watch(
    event_type: EventType = "",
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    action: Action = "",
    decision: Decision = "",
    actor: Actor = "",
    context: Context = "",
    aggregate: Aggregate = "",
    aggregate_id: AggregateId = "",
    correlation: Correlation = "",
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the first event.")] = False,
    cursor: Annotated[str, typer.Option("--cursor", help="Go on where an earlier watch ended.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="End after so many events; 0: never.")] = 0,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Events as they come. Goes on by itself after a disconnect; when it ends, it says how to go on."""
    from provost.ledger.v1 import ledger_pb2

    wanted = ledger_pb2.EventFilter(
        event_type=event_type,
        agent_id=agent,
        run_id=run,
        task_id=task,
        action=action,
        decision=decision,
        actor=actor,
        context=context,
        aggregate=aggregate,
        aggregate_id=aggregate_id,
        correlation_id=correlation,
    )
    watching = Watch(wanted, cursor, from_start, limit, as_json)
    try:
        ask("operator", address, key, watching.follow)
    except KeyboardInterrupt:
        watching.leave()


class Watch:
    """A watch that goes on behind its cursor whatever happens to the connection."""

    def __init__(
        self, wanted: "ledger_pb2.EventFilter", cursor: str, from_start: bool, limit: int, as_json: bool
    ) -> None:
        self._wanted = wanted
        self._cursor = cursor
        self._from_start = from_start
        self._limit = limit
        self._as_json = as_json
        self._shown = 0
        self._heard = False

    async def follow(self, provost: "Provost") -> None:
        """Show what comes, until there is enough. Raises ProvostError: what trying again does not mend."""
        from provost_sdk.errors import LimitReached, Unreachable

        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._heard = False
            try:
                if await self._once(provost):
                    return
                why = "the watch ended"
            except (Unreachable, LimitReached) as problem:
                if not self._heard and not self._cursor and not self._from_start and not self._shown:
                    raise  # it never began: nothing was promised yet
                why = f"{problem} ({problem.reason})"
            except TimeoutError:
                why = f"nothing was heard for {QUIET_SECONDS:g} s"
            pause = _FIRST_PAUSE_SECONDS if self._heard else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            _aside(f"{why}; going on in {pause:g} s")
            await asyncio.sleep(pause)

    def leave(self) -> None:
        """Say how to go on."""
        if self._cursor:
            _aside(f"to go on: {self._place()}")

    def _place(self) -> str:
        return f"--cursor {self._cursor}"

    def _enough(self, answer: Any) -> bool:
        """Whether there is nothing more to wait for behind `answer`."""
        return False

    async def _once(self, provost: "Provost") -> bool:
        """One connection; whether enough was shown."""
        answers: Any = provost.watch_events(
            self._wanted, cursor=self._cursor, from_start=self._from_start and not self._cursor
        )
        async with aclosing(answers) as watching:
            while True:
                async with asyncio.timeout(QUIET_SECONDS):
                    answer = await anext(watching, None)
                if answer is None:
                    return False
                self._heard = True
                for event in answer.events:
                    if self._last(event):
                        return True
                self._cursor = answer.cursor
                if self._enough(answer):
                    return True

    def _last(self, event: "ledger_pb2.LedgerEvent") -> bool:
        """Show `event`; whether that was as many as were wanted."""
        self._show(event)
        self._shown += 1
        return 0 < self._limit <= self._shown

    def _show(self, event: "ledger_pb2.LedgerEvent") -> None:
        from provost_sdk.cli.show import inert

        if self._as_json:
            import json

            from provost_sdk.models import as_dict

            print(json.dumps(as_dict(event), ensure_ascii=True), flush=True)
            return
        of = ".".join(event.subject.split(".")[2:5])
        line = (
            f"{event.sequence}  {clock(event.at)}  {event.event_type}  {of}  {event.actor}  {event.event_id}"
        )
        print(inert(line), flush=True)


def _tell(steps: "Iterable[ledger_pb2.Step]") -> None:
    """Each step in two lines: when and who, then what; which event it was, and which one it followed from."""
    from provost_sdk.cli.show import console, plain

    began = None
    for step in steps:
        event = step.event
        at = event.at.ToDatetime()
        began = began or at
        since = (at - began).total_seconds()
        console().print(
            plain(f"#{event.sequence}", "bold")
            + plain(f"  {clock(event.at)}  ")
            + plain(f"{since:+.3f} s  ", "dim")
            + plain(event.actor, "cyan")
        )
        console().print(plain(f"    {_line(step.summary)}"))
        led = f", because of #{step.caused_by_sequence}" if step.caused_by_sequence else ""
        console().print(plain(f"    {event.event_type} {event.event_id}{led}", "dim"))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 1] + "…"


def _say(text: str, style: str) -> None:
    from provost_sdk.cli.show import console, plain

    console().print(plain(text, style))


def _aside(text: str) -> None:
    from provost_sdk.cli.show import inert

    print(inert(text), file=sys.stderr, flush=True)
