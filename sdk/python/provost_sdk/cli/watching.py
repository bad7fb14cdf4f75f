"""`provost state watch`: what agents share, as it is now and as it changes."""

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli.session import Address, AsJson, Key, ask

if TYPE_CHECKING:
    from provost.state.v1 import state_pb2
    from provost_sdk.client import Provost

_MAX_TEXT = 120


def watch(
    task: Annotated[str, typer.Option("--task", help="Of this task alone.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Of this agent alone.")] = "",
    cursor: Annotated[str, typer.Option("--cursor", help="Go on where an earlier watch ended.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Show what is there, and end.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="End after so many changes; 0: never.")] = 0,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """What is there, then every change as it comes. Goes on by itself after a disconnect; says how to go on later."""
    watching = Watch(task, agent, cursor, once, limit, as_json)
    try:
        ask("operator", address, key, watching.follow)
    except KeyboardInterrupt:
        watching.leave()


class Watch:
    """A watch, and up to where it has been shown."""

    def __init__(self, task: str, agent: str, cursor: str, once: bool, limit: int, as_json: bool) -> None:
        self._task = task
        self._agent = agent
        self._cursor = cursor
        self._once = once
        self._limit = limit
        self._as_json = as_json
        self._shown = 0

    async def follow(self, provost: "Provost") -> None:
        """Show what comes, until there is enough. Raises ProvostError: what trying again does not mend."""
        answers: Any = provost.watch_state(
            task=self._task, agent=self._agent, cursor=self._cursor, interrupted=_aside
        )
        async with aclosing(answers) as watching:
            async for answer in watching:
                for change in answer.changes:
                    self._show(change)
                    self._shown += 1
                    if self._shown == self._limit:
                        return
                self._cursor = answer.cursor or self._cursor
                if self._once and self._cursor:
                    return

    def leave(self) -> None:
        """Say how to go on."""
        if self._cursor:
            _aside(f"to go on: --cursor {self._cursor}")

    def _show(self, change: "state_pb2.WatchResponse.Change") -> None:
        from provost_sdk.cli.show import inert

        if self._as_json:
            import json

            from provost_sdk.models import as_dict

            print(json.dumps(as_dict(change), ensure_ascii=True), flush=True)
            return
        print(inert(line_of(change)), flush=True)


def line_of(change: "state_pb2.WatchResponse.Change") -> str:
    """A change in one line: its place in the log, what it is, and what that is now."""
    kind = change.WhichOneof("what") or "?"
    if kind not in _TOLD:
        return f"{change.sequence or '-'}  {kind}  "
    what = getattr(change, kind)
    labels = f"  [{', '.join(what.labels)}]" if getattr(what, "labels", ()) else ""
    return f"{change.sequence or '-'}  {kind}  {_TOLD[kind](what)}{labels}"


def _agent(told: "state_pb2.AgentSnapshot") -> str:
    parts = [told.agent_id, told.packet.task_id, "/".join(filter(None, (told.phase, told.step)))]
    if told.HasField("lock"):
        parts.append(f"locked by {told.lock.holder}")
    if told.errors.total:
        parts.append(f"{told.errors.total} errors")
    if told.HasField("waiting"):
        parts.append(f"waits for {_text(told.waiting.what)}")
    if told.HasField("stuck"):
        parts.append(f"stuck: {_text(told.stuck.evidence)}")
    return "  ".join(filter(None, parts))


def _entry(told: "state_pb2.Entry") -> str:
    value = _text(told.value) or "(taken off)"
    return f"{told.task_id}  {told.section}/{told.key} v{told.version} by {told.author}  {value}"


def _message(told: "state_pb2.Message") -> str:
    to = told.to_agent_id or "all"
    return f"{told.task_id}  {told.type} {told.from_agent_id} -> {to}  {_text(told.body)}"


def _acknowledgement(told: "state_pb2.Acknowledgement") -> str:
    return f"{told.task_id}  {told.agent_id} has read {_text(', '.join(told.message_ids))}"


def _checkpoint(told: "state_pb2.Checkpoint") -> str:
    where = "/".join(filter(None, (told.phase, told.step)))
    return f"{told.task_id}  {told.run_id} #{told.number}  {where}  {_text(told.note)}"


_TOLD: dict[str, Any] = {
    "agent": _agent,
    "entry": _entry,
    "message": _message,
    "acknowledgement": _acknowledgement,
    "checkpoint": _checkpoint,
    "artifact": lambda told: f"{told.task_id}  {told.name}  {told.size_bytes} bytes  {told.sha256}",
    "handoff": lambda told: f"{told.task_id}  from {told.previous_agent_id}  {_text(told.blocking_issue)}",
    "revocation": lambda told: f"{told.agent_id}  {told.kind} by {told.by}",
}


def _text(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"


def _aside(text: str) -> None:
    from provost_sdk.cli.show import inert

    print(inert(text), file=sys.stderr, flush=True)
