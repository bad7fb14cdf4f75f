"""What a person sees: complete, and inert whatever stands in it."""

import contextlib
import io
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost_sdk.cli import show, show_run
from provost_sdk.cli.show import inert
from tests.unit.gateway.test_wire import full_run

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07[bold red]pay[/bold red] :smile: \r\nroot# rm -rf /\u202egnp.exe\x9b31m\x00\u2028"
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal, as far as rich can tell."""
    out = io.StringIO()
    made = Console(
        file=out,
        force_terminal=True,
        width=200,
        highlight=False,
        markup=False,
        emoji=False,
        color_system="standard",
    )
    monkeypatch.setattr(show_run, "console", lambda: made)
    monkeypatch.setattr(show, "console", lambda: made)
    return out


def shown(screen: io.StringIO) -> str:
    return screen.getvalue()


@given(st.text())
def test_inert_text_has_nothing_that_acts_and_is_one_line(text: str) -> None:
    made = inert(text)
    assert not [
        each for each in made if ord(each) < 32 or 127 <= ord(each) < 160 or 0xD800 <= ord(each) < 0xE000
    ]
    assert len(made.splitlines()) <= 1
    assert not set(made) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S"))))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_a_run_shows_everything_that_matters(screen: io.StringIO) -> None:
    show_run.show_run(full_run())
    text = shown(screen)
    for wanted in (
        "HIGH", "disk_full", "0.50", "e1 ", "L2 ", "×4", "<*> full", "ansible.check", "localhost", "T1_OPERATOR",
        "ALLOW", "tier.T1_OPERATOR", "WAITING", "provost approvals approve p1", "2 bytes", "sequence 99",
        "others may be left): aws_key ×1", "score 0.75", "80% alike, 3 times", "diagnostics.disk: helped 1 of 2",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "SECRET-PERMIT" not in text


def test_of_what_only_looked_nobody_says_that_it_helped(screen: io.StringIO) -> None:
    run = full_run()
    run.past[0].tried[0].helped = 0
    show_run.show_run(run)
    assert "diagnostics.disk: ran 2 of 2" in shown(screen)


def test_hostile_text_in_every_field_of_a_run_acts_on_nothing(screen: io.StringIO) -> None:
    run = full_run()
    for message in (run, run.incident, *run.incident.evidence, *run.incident.patterns, *run.plan, *run.decisions,
                    *run.effects, *run.cycles, *run.checks, *run.past, *run.past[0].tried,
                    run.plan[0].action):  # fmt: skip
        for field in message.DESCRIPTOR.fields:
            if field.type == field.TYPE_STRING and not field.is_repeated:
                setattr(message, field.name, HOSTILE)
    run.effects[0].action_id = run.decisions[0].action_id = run.plan[0].action.action_id
    show_run.show_run(run)
    text = shown(screen)
    assert r"\x1b[2J" in text
    assert "[bold red]pay[/bold red] :smile:" in text
    for active in ("\x1b[2J", "\x1b]0;", "\x07", "\r", "\x9b", "\x00", "\u202e", "\u2028"):
        assert active not in text
    assert not [line for line in text.split("\n") if line.startswith("root#")]


def test_a_healthy_log_says_so(screen: io.StringIO) -> None:
    incident = incident_pb2.Incident(
        severity="info", cause="none", confidence=0.9, summary="Nothing is wrong."
    )
    run = orchestrator_pb2.Run(run_id="r", state=orchestrator_pb2.RUN_STATE_COMPLETED, incident=incident)
    show_run.show_run(run)
    assert "Nothing is wrong." in shown(screen)
    assert "nothing to do" in shown(screen)


def test_a_run_that_has_not_begun_says_whom_it_waits_for(screen: io.StringIO) -> None:
    run = orchestrator_pb2.Run(run_id="r", agent_id="slow-1", state=orchestrator_pb2.RUN_STATE_RUNNING)
    show_run.show_run(run)
    assert "has not begun: waits for agent slow-1, which is busy or not attached" in shown(screen)
    run.phase = orchestrator_pb2.PHASE_PLAN
    show_run.show_run(run)
    assert shown(screen).count("has not begun") == 1


def test_many_lines_are_cut_and_it_says_so(screen: io.StringIO) -> None:
    run = full_run()
    for n in range(100):
        run.incident.evidence.add(evidence_id=f"e{n}", line=n + 1, text=f"line-text-{n}")
    show_run.show_run(run)
    assert "and 89 more lines" in shown(screen)


APPROVALS = ("approval", "action", "agent", "yes", "", "until", "why")
WAITING = (
    "9f3c1a2b4d5e6f708192a3b4c5d6e7f8", "network.block_source source=203.0.113.77", "sre-1", "0 of 1", "",
    "2026-11-21 23:50:11 UTC", "production wants that somebody looks at it first, whoever asks and whatever for",
)  # fmt: skip


def lines_of(columns: Sequence[str], rows: list[Sequence[object]]) -> list[str]:
    with io.StringIO() as out, contextlib.redirect_stdout(out):
        show.table(columns, rows, "none")
        return out.getvalue().splitlines()


def test_what_fits_is_a_table_and_what_does_not_is_shown_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert len(lines_of(APPROVALS, [WAITING] * 2)) == 6
    monkeypatch.setenv("COLUMNS", "80")
    assert lines_of(APPROVALS, [WAITING, ("id-2", *WAITING[1:])]) == [
        "approval 9f3c1a2b4d5e6f708192a3b4c5d6e7f8",
        "  action network.block_source source=203.0.113.77   agent sre-1   yes 0 of 1",
        "  until 2026-11-21 23:50:11 UTC",
        "  why production wants that somebody looks at it first, whoever asks and ",
        "    whatever for",
        "",
        "approval id-2   action network.block_source source=203.0.113.77   agent sre-1",
        "  yes 0 of 1   until 2026-11-21 23:50:11 UTC",
        "  why production wants that somebody looks at it first, whoever asks and ",
        "    whatever for",
        "",
    ]


def test_a_table_with_one_long_text_stays_a_table_and_no_word_is_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    row = ("ledger", "unknown", "the database does not answer: connection refused, since 23 s")
    said = lines_of(("component", "behind by", "detail"), [row, ("gateway", "0 events", "")])
    assert len(said) == 7
    assert set(" ".join(row).split()) <= set(" ".join(said).split())
    assert max(map(len, said)) <= 60


@given(
    st.integers(20, 120),
    st.lists(st.lists(st.text("ab -é日", max_size=90), min_size=3, max_size=3), min_size=1, max_size=4),
)
@example(20, [["", "", "a" * 16]])
def test_nothing_in_a_table_is_lost_or_wider_than_the_terminal(width: int, rows: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        said = lines_of(("", "of", "what"), list(rows))
    shown = "".join("".join(said).split())
    for letter in "é日":
        assert shown.count(letter) == sum(cell.count(letter) for row in rows for cell in row)
    if all(cell_len(row[0]) <= width for row in rows):
        assert max(map(cell_len, said)) <= width


def test_a_table_is_as_wide_as_the_terminal_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert show.console().width == 80
    monkeypatch.setenv("COLUMNS", "200")
    assert show.console().width == 200
