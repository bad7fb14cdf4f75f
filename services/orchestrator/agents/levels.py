"""How grave a line says it is: one scale for the words, letters and numbers that logs use."""

from __future__ import annotations

import re
from enum import IntEnum


class Level(IntEnum):
    """What a line says of itself; UNKNOWN when it says nothing."""

    UNKNOWN = 0
    DEBUG = 1
    INFO = 2
    NOTICE = 3
    WARNING = 4
    ERROR = 5
    CRITICAL = 6


_WORDS = {
    Level.DEBUG: "trace debug dbg verbose fine finer finest config v d debug1 debug2 debug3 debug4 debug5",
    Level.INFO: "info information informational inf i log statement detail hint context ok normal success level0",
    Level.NOTICE: "notice n",
    Level.WARNING: "warn warning w wrn",
    Level.ERROR: "error err e eror severe failure_audit stderr",
    Level.CRITICAL: "critical crit fatal f alert emerg emergency panic a c failure",
}
LEVELS = {word: level for level, words in _WORDS.items() for word in words.split()}
# Pino and bunyan count in tens; syslog's severities count the other way round (RFC 5424, table 2).
TENS = {
    "10": Level.DEBUG,
    "20": Level.DEBUG,
    "30": Level.INFO,
    "40": Level.WARNING,
    "50": Level.ERROR,
    "60": Level.CRITICAL,
}
SYSLOG = (
    Level.CRITICAL,
    Level.CRITICAL,
    Level.CRITICAL,
    Level.ERROR,
    Level.WARNING,
    Level.NOTICE,
    Level.INFO,
    Level.DEBUG,
)

# A level within a line: in capitals anywhere, or in any case where brackets, a key or a colon at the start
# make it one.
_ORDINARY = r"trace|debug\d?|info(?:rmation)?|notice"
_ANY = rf"{_ORDINARY}|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|alert|emerg(?:ency)?|severe|panic"
WITHIN = re.compile(
    r"(?<![\w./=-])(?:(TRACE|DEBUG\d?|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRIT(?:ICAL)?|FATAL|ALERT|EMERG|SEVERE"
    r"|PANIC|LOG(?=:)|FAILURE|Info|Warning|Error)(?![\w/=.-])"
    rf"|[\[<(]((?i:{_ANY})) ?[\]>)]|\[\w+:((?i:{_ANY}))\])"
)
AT_START = re.compile(rf"[\[<(]?((?i:{_ANY}))[\]>)]?(?::|\]| -)\s")


def level_of(word: str) -> Level:
    """The level that a word, letter or number stands for; UNKNOWN for any other."""
    return LEVELS.get(word.lower(), Level.UNKNOWN)
