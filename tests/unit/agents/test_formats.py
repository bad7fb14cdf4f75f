"""Heads of lines in the formats that logs come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.agents.formats import Reader
from services.orchestrator.agents.levels import Level
from services.orchestrator.agents.reading import read, split_lines

NOON = 1_704_110_400.0  # 2024-01-01 12:00:00 UTC

LINES = [
    # format, line, seconds, level, source, message
    ("syslog", "Jan  1 12:00:00 web sshd[7]: hello", 946_728_000.0, Level.UNKNOWN, "sshd", "hello"),
    (
        "syslog with priority",
        "<11>Jan  1 12:00:00 web app: hello",
        946_728_000.0,
        Level.ERROR,
        "app",
        "hello",
    ),
    ("rfc5424", "<34>1 2024-01-01T12:00:00.003Z host su - ID47 - hello", NOON, Level.CRITICAL, "su", "hello"),
    (
        "log4j",
        "2024-01-01 12:00:00,978 INFO [main] org.apache.App: hello",
        NOON,
        Level.INFO,
        "org.apache.App",
        "hello",
    ),
    (
        "logback",
        "2024-01-01 12:00:00.123 [main] ERROR c.e.Foo - hello",
        NOON,
        Level.ERROR,
        "c.e.Foo",
        "hello",
    ),
    (
        "spring",
        "2024-01-01 12:00:00.123  WARN 1 --- [main] c.e.App : hello",
        NOON,
        Level.WARNING,
        "c.e.App",
        "hello",
    ),
    ("python", "2024-01-01 12:00:00,123 - name - WARNING - hello", NOON, Level.WARNING, "", "hello"),
    ("postgres", "2024-01-01 12:00:00.123 UTC [12] u@d FATAL:  hello", NOON, Level.CRITICAL, "", "hello"),
    (
        "mysql",
        "2024-01-01T12:00:00.123456Z 0 [Warning] [MY-1] [Server] hello",
        NOON,
        Level.WARNING,
        "",
        "hello",
    ),
    ("nginx", "2024/01/01 12:00:00 [error] 12#12: *1 hello", NOON, Level.ERROR, "", "12#12: *1 hello"),
    ("elastic", "[2024-01-01T12:00:00,123][WARN ][o.e.n.Node] [n1] hello", NOON, Level.WARNING, "", "hello"),
    ("offset", "2024-01-01T13:00:00+0100 host unit[3]: hello", NOON, Level.UNKNOWN, "unit", "hello"),
    ("apache 2.2", "[Mon Jan 01 12:00:00 2024] [error] hello", NOON, Level.ERROR, "", "hello"),
    (
        "apache 2.4",
        "[Mon Jan 01 12:00:00.12 2024] [core:warn] [pid 1:tid 2] hello",
        NOON,
        Level.WARNING,
        "core",
        "hello",
    ),
    ("klog", "E0101 12:00:00.123456    1 file.go:12] hello", 946_728_000.0, Level.ERROR, "file.go", "hello"),
    ("hdfs", "240101 120000 148 WARN dfs.Node: hello", NOON, Level.WARNING, "dfs.Node", "hello"),
    ("spark", "24/01/01 12:00:00 INFO executor.Task: hello", NOON, Level.INFO, "executor.Task", "hello"),
    ("redis", "1:M 01 Jan 2024 12:00:00.001 # hello", NOON, Level.WARNING, "redis", "hello"),
    ("dmesg", "[   12.345678] hello", 12.0, Level.UNKNOWN, "kernel", "hello"),
    ("logcat", "01-01 12:00:00.811  17  23 E Tag: hello", 946_728_000.0, Level.ERROR, "Tag", "hello"),
    (
        "kubectl",
        "2m10s  Warning  BackOff  pod/web  hello",
        None,
        Level.WARNING,
        "BackOff",
        "BackOff  pod/web  hello",
    ),
    (
        "ras",
        "1704110400 2024.01.01 R02 2024-01-01-12.00.00.675872 R02 RAS KERNEL FATAL hello",
        NOON,
        Level.CRITICAL,
        "KERNEL",
        "hello",
    ),
    ("plain", "ERROR: hello", None, Level.ERROR, "", "ERROR: hello"),
    ("none", "hello there", None, Level.UNKNOWN, "", "hello there"),
]


@pytest.mark.parametrize(
    ("line", "seconds", "level", "source", "message"), [case[1:] for case in LINES], ids=[c[0] for c in LINES]
)
def test_heads(line: str, seconds: float | None, level: Level, source: str, message: str) -> None:
    head = Reader().head(line)
    assert (head.seconds, head.level, head.source, line[head.start :]) == (seconds, level, source, message)


def test_an_access_log_takes_its_level_from_the_status() -> None:
    line = '203.0.113.9 - - [01/Jan/2024:12:00:00 +0000] "GET /a HTTP/1.1" {} 12 "-" "curl"'
    heads = [Reader().head(line.format(status)) for status in (200, 404, 502)]
    assert [head.level for head in heads] == [Level.INFO, Level.INFO, Level.ERROR]
    assert {head.seconds for head in heads} == {NOON}


@pytest.mark.parametrize(
    ("line", "seconds", "level"),
    [
        ('{"time":"2024-01-01T12:00:00Z","level":"error","msg":"x"}', NOON, Level.ERROR),
        ('{"ts":1704110400.5,"lvl":"warn","msg":"x"}', NOON + 0.5, Level.WARNING),
        ('{"level":50,"time":1704110400000,"msg":"x"}', NOON, Level.ERROR),
        ('{"t":{"$date":"2024-01-01T12:00:00.123+00:00"},"s":"W","c":"REPL"}', NOON, Level.WARNING),
        ('time="2024-01-01T12:00:00Z" level=error msg="x"', NOON, Level.ERROR),
    ],
)
def test_records_of_keys_and_values(line: str, seconds: float, level: Level) -> None:
    head = Reader().head(line)
    assert (head.seconds, head.level, head.start) == (seconds, level, 0)


def test_a_year_that_is_not_written_still_turns() -> None:
    reading = read("Dec 31 23:59:59 h p: a\nJan  1 00:00:01 h p: b\n")
    assert reading.seconds[1] - reading.seconds[0] == pytest.approx(2.0, abs=86_400)
    assert reading.seconds[1] > reading.seconds[0]


def test_lines_end_with_lf_or_crlf_and_nothing_else() -> None:
    assert split_lines("a\r\nb\nc\x0bd\u2028e\rf\n") == ["a", "b", "c\x0bd\u2028e\rf"]
    assert split_lines("") == []
    assert split_lines("\n\n") == ["", ""]


def test_a_record_is_one_line_taken_apart() -> None:
    record = read("Jan  1 12:00:00 web sshd[7]: error: hello\n").record(1)
    assert (record.line, record.level, record.source) == (1, Level.ERROR, "sshd")
    assert "Jan  1 12:00:00 web sshd[7]: error: hello"[record.start : record.end] == "error: hello"


@given(st.text(max_size=300))
def test_no_line_is_too_odd(line: str) -> None:
    head = Reader().head(line)
    assert 0 <= head.start <= len(line)


@given(st.lists(st.text(max_size=80), max_size=30))
def test_every_line_that_says_something_has_one_kind(lines: list[str]) -> None:
    reading = read("\n".join(lines))
    counted = [0] * len(reading.kinds)
    for kind in reading.kind_of:
        if kind >= 0:
            counted[kind] += 1
    assert counted == [kind.count for kind in reading.kinds]
