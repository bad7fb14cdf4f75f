"""Subjects and filters, as NATS understands them."""

import codecs
import re
from collections.abc import Callable, Iterable
from itertools import zip_longest

from kernel.events import Stream
from kernel.faults import Invalid

_EVENT = re.compile(r"evt(?:\.[A-Za-z0-9_-]{1,128}){5}")


def event_subject(stream: Stream, event_type: str) -> str:
    """The subject of an event, certain to be covered by its stream's filter.

    The server would accept one that is not, and guard nothing.

    Raises:
        Invalid: a part of the stream's name cannot stand in a subject (reason `MALFORMED_SUBJECT`).
    """
    subject = stream.subject(event_type)
    if _EVENT.fullmatch(subject) is None:
        raise Invalid("MALFORMED_SUBJECT", f"not an event subject: {subject!r}", field="subject")
    return subject


def spelled(subject: bytes) -> str:
    """A subject as nats-server spells it in its answers: U+FFFD for each byte that is no part of a character.

    Python has one for all that begins a character together: the same event would come with two subjects.
    """
    return subject.decode("utf-8", _EACH_BYTE)


def _replace_byte(problem: UnicodeError) -> tuple[str, int]:
    assert isinstance(problem, UnicodeDecodeError)
    return "\ufffd", problem.start + 1


_EACH_BYTE = "provost.each_byte"
codecs.register_error(_EACH_BYTE, _replace_byte)


def matching(filters: Iterable[str]) -> Callable[[str], bool]:
    """Whether a subject matches any of `filters`."""
    pattern = re.compile("|".join(f"(?:{_pattern(each)})" for each in filters))
    return lambda subject: pattern.fullmatch(subject) is not None


def widest(filters: Iterable[str]) -> list[str]:
    """The filters without those that another one covers: a consumer with both is refused by the server."""
    once = list(dict.fromkeys(filters))
    return [each for each in once if not any(_covers(other, each) for other in once if other != each)]


def together(filters: Iterable[str]) -> str:
    """One filter that covers all of them, as narrow as one can be."""
    rows = [each.split(".") for each in filters]
    shared: list[str] = []
    for tokens in zip_longest(*rows, fillvalue=""):
        if "" in tokens or ">" in tokens:
            return ".".join([*shared, ">"])
        shared.append(tokens[0] if len(set(tokens)) == 1 else "*")
    return ".".join(shared)


def _covers(wide: str, narrow: str) -> bool:
    if narrow.endswith(">") and not wide.endswith(">"):
        return False
    return re.fullmatch(_pattern(wide), narrow) is not None


def _pattern(subject_filter: str) -> str:
    known = {"*": r"[^.]+", ">": r"[^.]+(?:\.[^.]+)*"}
    return r"\.".join(known.get(token, re.escape(token)) for token in subject_filter.split("."))
