"""Whole analyses: the cause is found, the healthy twin is found healthy, and every claim rests on lines that
are there.
"""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.orchestrator.agents.incident import Analysis, Severity
from services.orchestrator.agents.reading import split_lines
from services.orchestrator.agents.reflection import MAX_PATTERNS, analyse
from tests.unit.agents.conftest import CAUSES, OTHERS, other, sick, well


def test_the_cause_is_found(system: str) -> None:
    for strategy in ("classic", "reflective"):
        found = analyse(sick(system), strategy=strategy)
        assert found.incident.cause == CAUSES[system], found.incident.summary
        assert found.incident.severity.rank >= Severity.ERROR.rank
        assert found.incident.evidence
        assert found.plan.actions
        assert_sound(sick(system), found)


def test_the_healthy_twin_is_found_healthy(system: str) -> None:
    for strategy in ("classic", "reflective"):
        found = analyse(well(system), strategy=strategy)
        assert found.incident.cause == "none", found.incident.summary
        assert found.incident.severity is Severity.INFO
        assert found.incident.evidence == ()
        assert found.incident.claims == ()
        assert found.plan.actions == ()
        assert "Nothing is wrong" in found.incident.summary
        assert f"{len(split_lines(well(system))):,} lines" in found.incident.summary


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_more_systems_in_and_out_of_order(name: str) -> None:
    found = analyse(other(name))
    assert found.incident.cause == OTHERS[name], found.incident.summary
    assert_sound(other(name), found)


def assert_sound(text: str, found: Analysis) -> None:
    """What holds for every analysis of every log."""
    lines = split_lines(text)
    cited = {evidence.line for evidence in found.incident.evidence}
    for evidence in found.incident.evidence:
        whole = lines[evidence.line - 1]
        assert evidence.sha256 == hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
        assert len(evidence.text) <= 400
        assert evidence.text.isprintable() or not any(c < " " or "\x7f" <= c <= "\x9f" for c in evidence.text)
        assert "\n" not in evidence.text
    for claim in found.incident.claims:
        assert claim.evidence
        assert set(claim.evidence) <= cited
        assert 1 <= claim.first_line <= claim.last_line <= len(lines)
        assert 0 < claim.confidence <= 1
    for pattern in found.incident.patterns:
        assert 1 <= pattern.first_line <= pattern.last_line <= len(lines)
        assert pattern.count >= 1
    ids = {evidence.id for evidence in found.incident.evidence}
    for action in found.plan.actions:
        assert action.evidence
        assert set(action.evidence) <= ids
    assert len(found.incident.patterns) <= MAX_PATTERNS
    assert 1 <= len(found.cycles) <= 2
    assert all(0 <= cycle.score <= 1 for cycle in found.cycles)
    assert (found.incident.cause == "none") == (not found.incident.claims)
    if found.incident.cause == "none":
        assert not found.incident.evidence
        assert not found.plan.actions


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=2_000))
def test_any_text_at_all(text: str) -> None:
    assert_sound(text, analyse(text))


_PIECES = st.sampled_from(
    [
        "Jan  1 12:00:00 h sshd[1]: Failed password for root from 203.0.113.9 port 22 ssh2",
        "Jan  1 12:00:01 h kernel: Out of memory: Killed process 12 (java)",
        "2024-01-01 12:00:00 ERROR c.e.F - connection refused",
        "[error] disk full\x1b[31m\x00",
        '{"level":"error","msg":"x509: certificate has expired"}',
        "FATAL: kernel panic\r",
        "all is well",
        "",
        "\u202etxet desrever\ud800",
        "status=503 for GET /",
        "ok 0 errors",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_PIECES, max_size=40))
def test_any_mix_of_lines(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = analyse(text)
    assert_sound(text, found)
    assert analyse(text) == found


def test_nothing_at_all_is_nothing_wrong() -> None:
    for text in ("", "\n", " \n\t\n"):
        assert analyse(text).incident.cause == "none"


WELL = "Jan 10 10:02:00 web app[7]: all is well\n" * 100
NO_TEXT = {
    "random bytes": random.Random(7).randbytes(100_000).decode("utf-8", "replace"),
    "a few of them": random.Random(7).randbytes(20).decode("utf-8", "replace"),
    "two bytes a character": WELL.encode("utf-16-le").decode(),
    "NULs": "\0" * 1_000,
    "more than a hundredth": WELL + "\ufffd" * (len(WELL) // 90),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_nobody_says_that_nothing_is_wrong_of_what_is_no_text(name: str) -> None:
    found = analyse(NO_TEXT[name])
    assert (found.incident.cause, found.incident.severity) == ("unreadable", Severity.WARNING)
    assert found.incident.confidence < 0.5
    assert found.incident.summary.startswith("No readable text: ")
    assert "nothing is wrong" not in f"{found.incident.summary} {found.cycles}".lower()
    assert not found.plan.actions
    assert_sound(NO_TEXT[name], found)


def test_a_few_bytes_that_are_no_text_change_nothing() -> None:
    for text in (WELL + "caf\ufffd\n", "caf\ufffd opened\n", WELL + "\0\0\a\b\n", f"\x1b[32m{WELL}\x1b[0m"):
        assert analyse(text).incident.cause == "none"
    killed = "kernel: Out of memory: Killed process 12 (java)\n" + "\ufffd" * 1_000
    assert analyse(killed).incident.cause == "memory"


def test_the_worst_sources_are_named_and_counted_once_per_attempt() -> None:
    def guess(second: int, address: str) -> str:
        head = f"Dec 10 07:{second // 60:02}:{second % 60:02} h sshd[1]: "
        return (
            f"{head}pam_unix(sshd:auth): authentication failure; rhost={address}\n"
            f"{head}Failed password for root from {address} port 22 ssh2\n"
        )

    text = "".join(guess(i, "203.0.113.9") for i in range(30)) + "".join(
        guess(i, "198.51.100.7") for i in range(40, 52)
    )
    claim = analyse(text).incident.claims[0]
    assert [(s.value, s.count) for s in claim.subjects] == [("203.0.113.9", 30), ("198.51.100.7", 12)]
    assert "42 failed logins from 2 sources" in claim.statement
    assert "203.0.113.9 (30), 198.51.100.7 (12)" in claim.statement


def test_a_few_failed_logins_are_no_attack_but_a_guessed_password_is() -> None:
    failed = "Dec 10 07:00:0{} h sshd[1]: Failed password for eve from 203.0.113.9 port 22 ssh2\n"
    accepted = "Dec 10 07:09:09 h sshd[1]: Accepted password for eve from {} port 22 ssh2\n"
    assert (
        analyse(failed.format(1) + failed.format(2) + accepted.format("203.0.113.9")).incident.cause == "none"
    )
    many = "".join(failed.format(i) for i in range(9))
    guessed = analyse(many + accepted.format("203.0.113.9"))
    assert "auth.guessed" in {claim.rule for claim in guessed.incident.claims}
    unrelated = analyse(many + accepted.format("192.0.2.77"))
    assert "auth.guessed" not in {claim.rule for claim in unrelated.incident.claims}
    assert "192.0.2.77" not in unrelated.incident.summary


def test_what_a_client_writes_into_a_request_is_not_the_servers_trouble() -> None:
    line = (
        '203.0.113.9 - - [01/Jan/2024:12:00:0{} +0000] "GET /?q=kernel+panic HTTP/1.1" 200 1 '
        '"-" "out of memory: killed process 1"\n'
    )
    assert analyse("".join(line.format(i) for i in range(9))).incident.cause == "none"


def test_trouble_that_is_over_is_said_to_be_over() -> None:
    down = "May  1 10:00:00 sw kernel: eth0: NIC Link is Down\n"
    up = "May  1 10:00:04 sw kernel: eth0: NIC Link is Up 1000 Mbps\n"
    assert analyse(down + up).incident.severity is Severity.WARNING
    assert "it is over" in analyse(down + up).incident.summary
    assert analyse(up + down).incident.severity is Severity.ERROR


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[31mOut of memory: Killed process 12 (java)\x1b[0m",
        "\x1b[90m2026-03-01 10:00:00\x1b[0m \x1b[1;31mERROR\x1b[0m Out of memory: Killed process 12 (java)",
    ],
)
def test_colours_hide_nothing(line: str) -> None:
    found = analyse(line)
    assert found.incident.cause == "memory", found.incident.summary
    assert "\x1b" not in found.incident.summary
    assert_sound(line, found)


@pytest.mark.parametrize("numbers", [[0, *range(1, 50)], [*range(1, 50), 0]])
def test_a_count_of_nothing_says_nothing_about_the_other_counts(numbers: list[int]) -> None:
    found = analyse("\n".join(f"ERROR nightly copy: {number} failed" for number in numbers))
    assert found.incident.cause == "application", found.incident.summary
    assert found.incident.claims[0].count == 49
    assert numbers.index(0) + 1 not in {evidence.line for evidence in found.incident.evidence}


def test_errors_that_no_rule_knows_are_still_reported() -> None:
    text = "".join(f"2024-01-01 12:00:0{i} ERROR frobnicator: the gromet is bent by {i}\n" for i in range(5))
    found = analyse(text).incident
    assert (found.cause, found.severity) == ("application", Severity.ERROR)
    assert len(found.evidence) == 5
