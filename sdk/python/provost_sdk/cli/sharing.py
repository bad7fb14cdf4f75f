"""`provost state board|put|remove|messages|send|acknowledge`: what agents and people share about a task."""

import json
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provost_sdk.cli import pages
from provost_sdk.cli.session import Address, AsJson, Key, ask, misused, tell

if TYPE_CHECKING:
    from provost_sdk.client import Provost

MOST_SEQUENCE = 2**63 - 1
Task = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")]
Section = Annotated[str, typer.Argument(help="problem, solutions, progress or consensus.")]
Name = Annotated[str, typer.Argument(metavar="KEY", help="What the entry is called.")]
Version = Annotated[
    int | None,
    typer.Option(
        "--version", min=0, max=MOST_SEQUENCE, help="Only over this version; 0: only if there is none."
    ),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="What kind of data it holds; again for more.")
]


def board(
    task: Task,
    section: Annotated[
        str, typer.Option("--section", help="Only problem, solutions, progress or consensus.")
    ] = "",
    limit: pages.Limit = 100,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """A task's blackboard, by section and key."""
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_entries(task, section=section, page_size=size, page_token=token)

    found = pages.rows(page, limit, address, key, of=lambda provost: provost.get_task(task))
    pages.show(found, as_json, show_state.ENTRIES, show_state.entry_row, "The board is empty.")


def put(
    task: Task,
    section: Section,
    name: Name,
    value: Annotated[str, typer.Argument(help="JSON; what is none is taken as text.")],
    version: Version = None,
    label: Labels = None,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Write one entry of a task's blackboard, in your own name."""
    answer = ask(
        "operator",
        address,
        key,
        lambda provost: provost.put_entry(
            task, section, name, value_in(value), expected_version=version, labels=label or ()
        ),
    )
    said = f"{answer.section}/{answer.key} has version {answer.version} now, by {answer.author}"
    tell(answer, said, as_json)


def remove(
    task: Task,
    section: Section,
    name: Name,
    version: Version = None,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Take an entry off a task's blackboard, in your own name; what it said stays in the log."""
    answer = ask(
        "operator",
        address,
        key,
        lambda provost: provost.remove_entry(task, section, name, expected_version=version),
    )
    said = f"{answer.section}/{answer.key} was taken off, by {answer.author}"
    tell(answer, said, as_json)


def messages(
    task: Task,
    agent: Annotated[str, typer.Option("--agent", help="Only those to this agent.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Those that were acknowledged too.")] = False,
    limit: pages.Limit = 100,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Messages of a task that somebody still has to read, oldest first."""
    from provost_sdk.cli import show_state

    def page(provost: "Provost", size: int, token: str) -> Awaitable[Any]:
        return provost.list_messages(
            task, agent=agent, acknowledged_too=everything, page_size=size, page_token=token
        )

    found = pages.rows(page, limit, address, key, of=lambda provost: provost.get_task(task))
    pages.show(found, as_json, show_state.MESSAGES, show_state.message_row, "No such messages.")


def send(
    task: Task,
    message_type: Annotated[str, typer.Argument(metavar="TYPE", help="As QUESTION, ANSWER or FEEDBACK.")],
    body: Annotated[str, typer.Argument(help="JSON; what is none is taken as text.")],
    to: Annotated[str, typer.Option("--to", help="To this agent; else to all of the task.")] = "",
    in_reply_to: Annotated[str, typer.Option("--reply-to", help="The id of the message it answers.")] = "",
    label: Labels = None,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Send a message to an agent of a task or to all of them, in your own name."""
    answer = ask(
        "operator",
        address,
        key,
        lambda provost: provost.send_message(
            task, message_type, value_in(body), to=to, in_reply_to=in_reply_to, labels=label or ()
        ),
    )
    said = f"Sent to {', '.join(answer.recipients) or answer.to_agent_id or 'all'}: {answer.message_id}"
    if answer.passed_over:
        said += f"; not to {', '.join(answer.passed_over)}, whose inbox is full"
    tell(answer, said, as_json)


def acknowledge(
    task: Task,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Whose messages they are.")],
    up_to: Annotated[
        int,
        typer.Option(
            "--up-to",
            min=0,
            max=MOST_SEQUENCE,
            help="Everything it was sent up to this place of the log (seq).",
        ),
    ] = 0,
    message: Annotated[
        list[str] | None, typer.Option("--message", help="The id of one; as often as need be.")
    ] = None,
    as_json: AsJson = False,
    address: Address = None,
    key: Key = None,
) -> None:
    """Take messages to an agent for read in its name, when it is gone and its inbox is full, say."""
    if not up_to and not message:
        misused("say which: --up-to SEQ, or --message ID")
    answer = ask(
        "operator",
        address,
        key,
        lambda provost: provost.acknowledge_messages(
            task, agent, up_to_sequence=up_to, message_ids=message or ()
        ),
    )
    tell(answer, f"Acknowledged in the name of {agent}, as of sequence {answer.sequence}", as_json)


def value_in(text: str) -> Any:
    """The JSON value in an argument; text that is none is itself the value."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        misused("the value is nested too deeply")
    except ValueError:
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
