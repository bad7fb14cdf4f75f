"""The formats that logs come in: each takes the head of a line apart and says where the message starts.

A format is a function from a line to `Head` or None when the line is not of that format. It reads times,
levels and sources, and nothing of what a message means. Lines in no format are all message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from services.orchestrator.agents import moments
from services.orchestrator.agents.levels import AT_START, LEVELS, SYSLOG, TENS, WITHIN, Level, level_of


class Head(NamedTuple):
    """What stands before the message: seconds (see `moments`) or None, level, source (program, component),
    where the message starts.
    """

    seconds: float | None
    level: Level
    source: str
    start: int


Format = Callable[[str], Head | None]

_CLOCK = r"\d\d:\d\d:\d\d"
_BSD = re.compile(
    rf"(?:<(\d{{1,3}})>)?([A-Z][a-z]{{2}} [ \d]?\d {_CLOCK})(?:\.\d+)? (?:(\S+) )?"
    r"(?:\s*([^:\[\]]{1,48}?)(?:\[\w*\])?: ?)?(?:\[ *\d+\.\d+\] )?"
)
_ISO = re.compile(
    r"(?:[^\s\[{\d][^\s]{0,80}:?\s)?[\[\"']?(\d{4}[-/.]\d\d[-/.]\d\d[T ]\d\d:\d\d:\d\d)(?:[.,:]\d+)?"
    r"((?:Z| ?[+-]\d\d:?\d\d)?)(?: (?:UTC|GMT|[A-Z]{1,3}S?T)\b)?[\]\"']?,?\s*(?:-\s)?"
)
_RFC5424 = re.compile(
    r"<(\d{1,3})>\d (\S+) \S+ (\S+) \S+ \S+ (?:-|(?:\[(?:[^\]\"]|\"[^\"]*\")*\])+) ?(?:\ufeff)?"
)
_HOST_UNIT = re.compile(r"([\w.-]+) ([\w()@./-]{1,48})(?:\[\d+\])?: ")
_APACHE = re.compile(
    r"\[([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8}(?:\.\d+)? \d{4})\] \[(?:(\w*):)?(\w+)\] (?:\[pid [^\]]*\] )?"
)
_ACCESS = re.compile(
    r"(?:\S+ )?(\S+) \S+ [^\[\"]{0,60}\[(\d\d/[A-Z][a-z]{2}/\d{4}:[\d:]{8} [+-]\d{4})\] "
    r"(?=\"(?:[^\"\\]|\\.)*\" (\d{3})\b)"
)
_KLOG = re.compile(rf"([IWEFD])(\d{{4}} {_CLOCK})(?:\.\d+)?\s+\d+ ([\w./-]+):\d+\] ")
_HDFS = re.compile(r"(\d{6} \d{6}) \d+ ([A-Z]+) (\S+?): ")
_SHORT_DATE = re.compile(rf"(\d\d/\d\d/\d\d {_CLOCK})(?:[.,]\d+)? ([A-Z]+) (?:(\S+?): )?")
_RAS = re.compile(
    r"(?:\S+ )?(\d{10}) \d{4}\.\d\d\.\d\d (\S+) "
    r"(?:(\d{4}-\d\d-\d\d-[\d.]{8})\S* \S+ (\S+) (\S+) (\S+) "
    rf"|[A-Z][a-z]{{2}} +\d+ {_CLOCK} \S+ (?:([^:\[\]]{{1,48}}?)(?:\[\d+\])?: )?)"
)
_REDIS = re.compile(rf"\d+:[A-Z] (\d\d [A-Z][a-z]{{2}}(?: \d{{4}})? {_CLOCK})(?:\.\d+)? ([.\-*#]) ")
_REDIS_MARKS = {".": Level.DEBUG, "-": Level.INFO, "*": Level.NOTICE, "#": Level.WARNING}
_DMESG = re.compile(r"\[ *(\d+)\.\d+\] ?")
_LOGCAT = re.compile(rf"(\d\d-\d\d {_CLOCK})\.\d+ +\d+ +\d+ ([VDIWEFA]) (\S+?)\s*: ")
_JSON_LEVEL = re.compile(
    r'"(?:level|severity|lvl|levelname|log\.level|loglevel|@level)"\s*:\s*"?(\w+)', re.IGNORECASE
)
_JSON_TIME = re.compile(
    r'"(?:time|timestamp|ts|@timestamp|t|date|eventTime)"\s*:\s*(?:\{"\$date":)?"?([^",}]{6,40})'
)
_JSON_MONGO = re.compile(r'"s"\s*:\s*"([DIWEF])\d?"')
_PAIR_LEVEL = re.compile(r'(?:^|\s)(?:level|lvl|severity|loglevel)="?(\w+)', re.IGNORECASE)
_PAIR_TIME = re.compile(r'(?:^|\s)(?:time|ts|t|timestamp)="?([^"\s]{6,40})')
_EVENT = re.compile(r"\s*(?:<?\w+>?\s+)?(Normal|Warning)\s+([A-Z]\w+)\s+")
_COMPONENT = re.compile(
    r"(?:\d+ --- )?(?:\[[^\]\n]{0,80}\]:? *){0,3}(?:- )?"
    r"(?:([A-Za-z_][\w$-]*(?:[./][\w$-]+)+(?<!Error)(?<!Exception))(?::\d+|@\d+)?\]?(?: *:| -)?\s+"
    r"(?:\[[^\]\n]{0,120}\] *)?|([\w$]{2,60}): +(?=\S))?"
)
_GAP = re.compile(r"[\s|:\]>-]*")


def _bsd(line: str) -> Head | None:
    """Syslog as RFC 3164 and journald's short form; `Jun 14 15:16:01 host program[pid]: message`."""
    if (m := _BSD.match(line)) is None:
        return None
    level = SYSLOG[int(m[1]) & 7] if m[1] else Level.UNKNOWN
    start = m.end()
    if level is Level.UNKNOWN and (said := AT_START.match(line, start)) is not None:
        level = LEVELS[said[1].lower()]
    return Head(moments.worded(m[2]), level, (m[4] or "").strip(), start)


def _rfc5424(line: str) -> Head | None:
    if (m := _RFC5424.match(line)) is None:
        return _bsd(line)
    return Head(moments.numeric(m[2][:19]), SYSLOG[int(m[1]) & 7], m[3], m.end())


def _iso(line: str) -> Head | None:
    """Whatever begins with a date in digits, year first: log4j, logback, Python, OpenStack, PostgreSQL,
    MySQL, nginx, Kafka, …
    """
    if (m := _ISO.match(line)) is None:
        return None
    seconds = moments.numeric(m[1] + m[2].strip().rstrip("Z"))
    start = m.end()
    if (said := WITHIN.search(line, start, start + 90)) is None:
        level = Level.UNKNOWN
        if (unit := _HOST_UNIT.match(line, start)) is not None:
            return Head(seconds, level, unit[2], unit.end())
    else:
        level = LEVELS[(said[1] or said[2] or said[3]).lower()]
        gap = _GAP.match(line, said.end())
        start = gap.end() if gap else said.end()
    part = _COMPONENT.match(line, start)
    if part is None:
        return Head(seconds, level, "", start)
    return Head(seconds, level, part[1] or part[2] or "", part.end())


def _apache(line: str) -> Head | None:
    if (m := _APACHE.match(line)) is None:
        return None
    return Head(moments.worded(m[1]), level_of(m[3]), m[2] or "", m.end())


def _access(line: str) -> Head | None:
    """Common and combined log format; a status of 500 and above makes the line an error, any other makes it
    ordinary.
    """
    if (m := _ACCESS.match(line)) is None:
        return None
    return Head(moments.worded(m[2]), Level.ERROR if m[3] >= "500" else Level.INFO, "access", m.end())


def _klog(line: str) -> Head | None:
    if (m := _KLOG.match(line)) is None:
        return None
    return Head(moments.monthless(m[2]), level_of(m[1]), m[3], m.end())


def _hdfs(line: str) -> Head | None:
    if (m := _HDFS.match(line)) is None:
        return None
    return Head(moments.numeric(m[1]), level_of(m[2]), m[3], m.end())


def _short_date(line: str) -> Head | None:
    if (m := _SHORT_DATE.match(line)) is None:
        return None
    return Head(moments.numeric(m[1]), level_of(m[2]), m[3] or "", m.end())


def _ras(line: str) -> Head | None:
    """Event logs of large clusters: epoch, date, node, then a RAS record or a syslog line. A label before the
    epoch is left out.
    """
    if (m := _RAS.match(line)) is None:
        return None
    return Head(float(m[1]), level_of(m[6] or ""), (m[5] or m[7] or "").strip(), m.end())


def _redis(line: str) -> Head | None:
    if (m := _REDIS.match(line)) is None:
        return None
    return Head(moments.worded(m[1]), _REDIS_MARKS[m[2]], "redis", m.end())


def _dmesg(line: str) -> Head | None:
    if (m := _DMESG.match(line)) is None:
        return None
    return Head(float(m[1]), Level.UNKNOWN, "kernel", m.end())


def _logcat(line: str) -> Head | None:
    if (m := _LOGCAT.match(line)) is None:
        return None
    return Head(moments.monthless(m[1]), level_of(m[2]), m[3], m.end())


def _json(line: str) -> Head | None:
    """One JSON object a line, read by its usual keys without being parsed: the message is the whole line."""
    if not line.startswith("{"):
        return None
    said = _JSON_LEVEL.search(line)
    level = Level.UNKNOWN
    if said is not None:
        level = TENS.get(said[1]) or level_of(said[1])
    elif (mongo := _JSON_MONGO.search(line)) is not None:
        level = level_of(mongo[1])
    return Head(_moment(_JSON_TIME.search(line)), level, "", 0)


def _pairs(line: str) -> Head | None:
    """`time=… level=… msg=…` (logfmt and its kin)."""
    if (said := _PAIR_LEVEL.search(line, 0, 400)) is None:
        return None
    return Head(_moment(_PAIR_TIME.search(line, 0, 400)), level_of(said[1]), "", 0)


def _moment(found: re.Match[str] | None) -> float | None:
    if found is None:
        return None
    text = found[1].strip()
    return moments.epoch(text) if text.replace(".", "", 1).isdigit() else moments.numeric(text[:19])


def _event(line: str) -> Head | None:
    """A row of `kubectl get events` or of `kubectl describe`."""
    if (m := _EVENT.match(line)) is None:
        return None
    return Head(None, Level.WARNING if m[1] == "Warning" else Level.INFO, m[2], m.start(2))


def _plain(line: str) -> Head | None:
    """No time, but a level at the start: `ERROR: …`, `[warn] …`."""
    if (said := AT_START.match(line)) is not None:
        return Head(None, LEVELS[said[1].lower()], "", 0)
    if (m := WITHIN.match(line)) is not None:
        return Head(None, LEVELS[(m[1] or m[2] or m[3]).lower()], "", 0)
    return None


_DIGIT: tuple[Format, ...] = (_iso, _hdfs, _ras, _access, _short_date, _redis, _logcat, _event)
_LETTER: tuple[Format, ...] = (_bsd, _klog, _plain, _iso, _ras, _access, _pairs, _event)
_BY_FIRST: dict[str, tuple[Format, ...]] = {
    "[": (_apache, _iso, _dmesg, _plain),
    "{": (_json,),
    "<": (_rfc5424, _plain),
    "-": (_ras, _plain),
    " ": (_event, _pairs),
}
_BY_FIRST |= dict.fromkeys("0123456789", _DIGIT)


_NO_HEAD = Head(None, Level.UNKNOWN, "", 0)
_MANY_MISSES = 1_000


class Reader:
    """Takes the heads of lines apart, trying first the format that the last line was in.

    After a thousand lines in no format it looks at one line of eight until one has a head again.
    """

    def __init__(self) -> None:
        self._last: Format = _bsd
        self._missed = 0

    def head(self, line: str) -> Head:
        """The head of a line; one with nothing but `start` 0 when the line is in no known format."""
        if self._missed > _MANY_MISSES and self._missed & 7:
            self._missed += 1
            return _NO_HEAD
        if (found := self._last(line)) is not None:
            self._missed = 0
            return found
        for form in _BY_FIRST.get(line[:1], _LETTER):
            if form is not self._last and (found := form(line)) is not None:
                self._last, self._missed = form, 0
                return found
        self._missed += 1
        return _NO_HEAD
