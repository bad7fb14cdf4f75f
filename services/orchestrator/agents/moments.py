"""Times as logs write them, turned into seconds. No clock: a time without a year is counted from the year
2000, a leap year.

What comes back orders and spaces the lines of one log; it is not meant to name a day to a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_MONTHS = {m: i for i, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MAX_REMEMBERED = 20_000
_NUMBERS = re.compile(r"\d+")
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)$")
_remembered: dict[str, float | None] = {}


def _seconds(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> float | None:
    """Seconds since 1970 of a proleptic Gregorian time (days by Howard Hinnant's `days_from_civil`), None
    when there is none.
    """
    if not (
        1 <= month <= 12 and 1 <= day <= 31 and hour < 25 and minute < 60 and second < 62 and year < 10_000
    ):
        return None
    year -= month <= 2
    era, of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719_468
    return float(days * 86_400 + hour * 3_600 + minute * 60 + second)


def _numeric(text: str) -> float | None:
    """`2024-05-01T10:00:00`, `2024/05/01 10:00:00`, `2005-06-03-15.42.50`, `17/06/09 20:10:40`, `081109
    203615`, with or without zone.
    """
    zone = 0
    if (offset := _ZONE.search(text, 16)) is not None:
        zone = (int(offset[2]) * 3_600 + int(offset[3]) * 60) * (-1 if offset[1] == "-" else 1)
        text = text[: offset.start()]
    parts = [int(part) for part in _NUMBERS.findall(text[:19])]
    if len(parts) == 2 and len(text) == 13:  # yymmdd hhmmss
        day, clock = parts
        parts = [day // 10_000, day // 100 % 100, day % 100, clock // 10_000, clock // 100 % 100, clock % 100]
    if not 3 <= len(parts) <= 6:
        return None
    if parts[0] < 100:
        parts[0] += 2_000
    found = _seconds(*parts)
    return None if found is None else found - zone


def _worded(text: str) -> float | None:
    """`Jun 14 15:16:01`, `Sun Dec 04 04:47:44 2005`, `10/Oct/2023:13:55:36 +0000`, `01 Jan 2024 12:00:00`: in
    whatever order.
    """
    month = next(
        (found for word in re.findall(r"[A-Za-z]{3}", text) if (found := _MONTHS.get(word.lower()))), 0
    )
    clock = re.search(r"(?<!\d)(\d\d):(\d\d):(\d\d)", text)
    if not month or clock is None:
        return None
    rest = [int(n) for n in _NUMBERS.findall(text.replace(clock[0], " ", 1))[:4]]
    day = next((n for n in rest if 1 <= n <= 31), 0)
    year = next((n for n in rest if 1_900 < n < 10_000), 2_000)
    return _seconds(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]))


def _monthless(text: str) -> float | None:
    """`0102 12:00:00` (klog) and `03-17 16:13:38` (logcat): month and day, then the clock."""
    numbers = [int(n) for n in _NUMBERS.findall(text)]
    if len(numbers) == 4:
        numbers[:1] = [numbers[0] // 100, numbers[0] % 100]
    return _seconds(2_000, *numbers[:5]) if len(numbers) >= 5 else None


def _remember(read: Callable[[str], float | None], text: str) -> float | None:
    if text in _remembered:
        return _remembered[text]
    found = read(text)
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()
    _remembered[text] = found
    return found


def numeric(text: str) -> float | None:
    """Seconds of a time written in digits, year first; None when it is no time."""
    return _remember(_numeric, text)


def worded(text: str) -> float | None:
    """Seconds of a time that names its month; None when it is no time."""
    return _remember(_worded, text)


def monthless(text: str) -> float | None:
    """Seconds of a time of month, day and clock, counted from the year 2000; None when it is no time."""
    return _remember(_monthless, text)


def epoch(text: str) -> float | None:
    """Seconds of a number that counts seconds, milliseconds, microseconds or nanoseconds since 1970."""
    try:
        value = float(text)
    except ValueError:
        return None
    while value > 1e11:
        value /= 1_000
    return value if value > 0 else None
