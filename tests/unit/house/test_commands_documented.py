"""Every `provost …` that documents and the chart tell somebody to type is a command, with options that there are."""

import re
from collections.abc import Iterator
from itertools import chain

import typer.main

from provost_sdk.cli.app import app
from tests.unit.house.skeleton import REPOSITORY

PAGES = chain(
    REPOSITORY.glob("*.md"),
    REPOSITORY.glob("docs/**/*.md"),
    REPOSITORY.glob("sdk/*/*.md"),
    REPOSITORY.glob("deploy/helm/*/templates/NOTES.txt"),
)
TOLD = re.compile(r"(?:`|^\s*(?:\$ )?)provost (?!python )([a-z][^`\n#|>;]*)", re.MULTILINE)


def told() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in TOLD.finditer(page.read_text("utf-8")):
            yield page.name, found[1]


def wrong_in(line: str) -> str:
    """The first word of `line` that is no command, or no option of the one before it; none: empty."""
    command = typer.main.get_command(app)
    for word in line.split():
        below = getattr(command, "commands", None)
        if below is not None:
            if word not in below:
                return word
            command = below[word]
            continue
        option = word.strip("[]").partition("=")[0]
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if option.startswith("--") and option not in known:
            return option
    return ""


def test_what_somebody_is_told_to_type_can_be_typed() -> None:
    lines = list(told())
    assert len(lines) > 100
    assert [(page, line) for page, line in lines if wrong_in(line)] == []


def test_a_command_and_an_option_that_there_are_not_are_seen() -> None:
    assert wrong_in("status --api-key <a key>") == "--api-key"
    assert wrong_in("ledger verfy") == "verfy"
