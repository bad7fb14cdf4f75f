"""`provost events tail` and `replay`: what happens and what happened, as CloudEvents in JSON Lines, or for people."""

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli.filters import (
    Actor,
    Agent,
    Aggregate,
    AggregateId,
    Context,
    Decision,
    EventType,
    RunId,
    Task,
    time_in,
)
from provost_sdk.cli.following import Watch
from provost_sdk.cli.session import Address, Key, ask, misused

if TYPE_CHECKING:
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.client import Provost

PAGE_SIZE = 500
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
AsLines = Annotated[bool, typer.Option("--json", help="CloudEvents, one JSON object a line.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="End after so many events; 0: never.")]
CursorFrom = Annotated[
    str, typer.Option("--from", metavar="CURSOR", help="Go on where an earlier one ended.")
]
CursorAfter = Annotated[
    str, typer.Option("--after", metavar="CURSOR", help="Go on where an earlier one ended.")
]


@app.command()
def tail(
    event_type: EventType = "",
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    decision: Decision = "",
    actor: Actor = "",
    context: Context = "",
    aggregate: Aggregate = "",
    aggregate_id: AggregateId = "",
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1000, help="Begin with the last so many.")
    ] = 10,
    cursor: CursorFrom = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    limit: Limit = 0,
    as_json: AsLines = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """The newest events; with --follow, those that come, too. Ctrl-C says with which cursor to go on."""
    from provost.ledger.v1 import ledger_pb2

    wanted = ledger_pb2.EventFilter(
        event_type=event_type, agent_id=agent, run_id=run, task_id=task, decision=decision, actor=actor,
        context=context, aggregate=aggregate, aggregate_id=aggregate_id,
    )  # fmt: skip
    _show(Tail(wanted, cursor, limit, as_json, 0 if cursor else lines, follow), address, key)


@app.command()
def replay(
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="From this time on, RFC 3339.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="Before this time.")] = "",
    event_type: EventType = "",
    agent: Agent = "",
    run: RunId = "",
    task: Task = "",
    context: Context = "",
    cursor: CursorAfter = "",
    limit: Limit = 0,
    as_json: AsLines = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Everything that happened in a time, oldest first. To go on after Ctrl-C, ask the same with --after CURSOR."""
    from provost.ledger.v1 import ledger_pb2
    from provost_sdk.history_calls import stamp

    begin, end = time_in(since, "--from"), time_in(until, "--to")
    if begin and end and begin >= end:
        misused("--from is to be before --to.")
    wanted = ledger_pb2.EventFilter(
        event_type=event_type, agent_id=agent, run_id=run, task_id=task, context=context,
        from_time=stamp(begin), to_time=stamp(end),
    )  # fmt: skip
    _show(Replay(wanted, cursor, limit, as_json), address, key)


class Told(Watch):
    """A watch whose cursor may stand within an answer: `CURSOR.SEQUENCE`. `option` is how it is given again."""

    option = "--from"

    def __init__(self, wanted: "ledger_pb2.EventFilter", cursor: str, limit: int, as_json: bool) -> None:
        behind, dot, seen = cursor.partition(".")
        if dot and not (seen.isascii() and seen.isdecimal()):
            misused(f"{self.option}: {cursor!r} is no cursor")
        super().__init__(wanted, behind, False, limit, as_json)
        self._seen = int(seen or 0)

    def leave(self) -> None:
        """Say how to go on."""
        if self._cursor or self._seen:
            super().leave()

    def _place(self) -> str:
        return f"{self.option} {self._cursor}{f'.{self._seen}' if self._seen else ''}"

    def _show(self, event: "ledger_pb2.LedgerEvent") -> None:
        if event.sequence <= self._seen:
            self._shown -= 1  # it was told before
            return
        self._seen = event.sequence
        if not self._as_json:
            super()._show(event)
            return
        from provost_sdk.cloudevents import as_cloudevent

        told = {**as_cloudevent(event), "cursor": f"{self._cursor}.{event.sequence}"}
        print(json.dumps(told, ensure_ascii=True), flush=True)


class Tail(Told):
    """Begins with the last `lines`, and goes on with what comes if it `follows`."""

    def __init__(
        self,
        wanted: "ledger_pb2.EventFilter",
        cursor: str,
        limit: int,
        as_json: bool,
        lines: int,
        follows: bool,
    ) -> None:
        super().__init__(wanted, cursor, limit, as_json)
        self._lines = lines
        self._follows = follows
        self._newest = 0
        self._answers = 0

    async def follow(self, provost: "Provost") -> None:
        """Show it. Raises ProvostError: what trying again does not mend."""
        from provost_sdk.history_calls import gather

        if not self._cursor:
            # Where to go on is asked first, so that nothing that comes meanwhile is missed.
            watching: Any = provost.watch_events(self._wanted)
            async with aclosing(watching) as answers:
                self._cursor = (await anext(answers)).cursor
        newest = await gather(
            lambda size, token: provost.list_events(self._wanted, page_size=size, page_token=token),
            max(1, self._lines),
        )
        self._newest = newest[0].sequence if newest else 0
        for event in reversed(newest[: self._lines]):
            if self._last(event):
                return
        if self._follows or not self._lines:
            await super().follow(provost)

    def _enough(self, answer: Any) -> bool:
        self._answers += 1
        return not self._follows and (self._seen >= self._newest or (self._answers > 1 and not answer.events))


class Replay(Told):
    """A list, oldest first; its cursor is where a page began."""

    option = "--after"

    async def follow(self, provost: "Provost") -> None:
        """Show all of it. Raises ProvostError."""
        while True:
            answer = await provost.list_events(
                self._wanted, oldest_first=True, page_size=PAGE_SIZE, page_token=self._cursor
            )
            for event in answer.events:
                if self._last(event):
                    return
            if not answer.next_page_token:
                return
            self._cursor = answer.next_page_token


def _show(tail: Told, address: str | None, key: str | None) -> None:
    try:
        ask("operator", address, key, tail.follow)
    except KeyboardInterrupt:
        tail.leave()
