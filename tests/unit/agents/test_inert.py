"""Text out of a log is harmless to show, and an analysis stays within its bounds whatever the log."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.agents.inert import inert
from services.orchestrator.agents.reading import MAX_LINES
from services.orchestrator.agents.reflection import analyse


@given(st.text(), st.integers(1, 500))
def test_inert_text_is_one_line_within_its_limit(text: str, limit: int) -> None:
    shown = inert(text, limit)
    assert len(shown) <= limit
    assert not any(c in shown for c in "\n\r\x00\x1b\x85\u2028\u2029\u202e\ufeff")
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert inert("a\x1b[31mred\r\nb\x00\u202ec\td") == "a\\x1b[31mred\\r\\nb\\x00\\u202ec d"


PIECES = [
    *(
        "connection ",
        "failed to ",
        "could not ",
        "certificate has ",
        "status = ",
        "disk ",
        "node ",
        "error receiving ",
    ),
    *("memory usage at ", "no ", "Jan  1 00:00:00 ", "queue ", "unable to get ", "a.b.c.", "0x0 ", "user="),
    *("[[", '"', "\\", "= ", "1:", "(", " ", "...", "{"),
]
HOSTILE = {
    "one endless line": "error connection refused " * 400_000,
    "one endless word": "x" * 10_000_000,
    "a million short lines": "ok\n" * 1_000_000,
    "nothing but ends": "\n" * 5_000_000,
    "words again and again": "\n".join(piece * 150 for piece in PIECES for _ in range(20)),
    "registers without end": "\n".join(f"a:{'abcdefabc:' * 200}!{i}" for i in range(20)),
    "heads without end": "\n".join(f"2024-01-01 12:00:00 {'[' * 1_000}{i}" for i in range(200)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_log_takes_long(name: str) -> None:
    start = time.process_time()
    found = analyse(HOSTILE[name])
    assert time.process_time() - start < 20, "processor seconds"
    assert all(len(evidence.text) <= 400 for evidence in found.incident.evidence)
    assert len(found.incident.summary) < 4_000


def test_what_is_past_the_limit_of_lines_is_not_looked_at() -> None:
    found = analyse("ok\n" * MAX_LINES + "kernel: Out of memory: Killed process 900 (postgres)\n")
    assert found.incident.cause == "none"
    assert f"the first {MAX_LINES:,} lines" in found.incident.summary
