"""The history of a log's keys: who trusts one key of it comes to the others, with no service and no network.

A chain of signed notes, each of which lets one key in or out: `<origin>/keys`, `provost ledger keys v1`, the number of
the change, `introduced` or `retired`, the verifier key, the size of the last signed tree, the time, and the SHA-256 of
all notes before it. An introduction is signed by the new key and one that signed before, a retirement by one that
stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

from provost_sdk.note import Key, NotProved, open_note, read_key, read_number, signed_by

_FORMAT = "provost ledger keys v1"


def read_keys(text: str) -> tuple[Key, ...]:
    """One or several verifier keys, white space between them. Raises NotProved: one is none, or there is none."""
    keys = tuple(read_key(each) for each in text.split())
    if not keys:
        raise NotProved("not a verifier key: it is empty")
    return keys


def read_key_history(text: str, trusted: Sequence[Key]) -> tuple[Key, ...]:
    """Every key the log ever signed with, oldest first, each with the largest tree it may have signed.

    Raises:
        NotProved: it is no such history, not every change in it is proved, or none of the `trusted` keys is in it.
    """
    ever: dict[Key, int | None] = {}
    before = ""
    for number, note in enumerate(_notes(text), 1):
        _change(number, note, before, ever)
        before = f"{before}\n{note}" if before else note
    if before != text or not ever:
        raise NotProved("not a history of keys: something stands between or behind its changes")
    if not any(replace(key, last_size=None) in ever for key in trusted):
        raise NotProved("none of the keys that you trust is in this history of keys")
    return tuple(replace(key, last_size=last) for key, last in ever.items())


def _notes(text: str) -> Iterator[str]:
    parts = text.split("\n\n")
    for at in range(0, len(parts) - 1, 2):
        yield f"{parts[at]}\n\n{parts[at + 1].removesuffix(chr(10))}\n"


def _change(number: int, note: str, before: str, ever: dict[Key, int | None]) -> None:
    lines = note.partition("\n\n")[0].split("\n")
    if len(lines) != 8 or lines[1:3] != [_FORMAT, str(number)]:
        raise NotProved(f"not a history of keys: its change {number} is not of the format {_FORMAT!r}")
    act, key, size = lines[3], read_key(lines[4]), read_number(lines[5], "the size in a history of keys")
    if lines[7] != sha256(before.encode()).hexdigest():
        raise NotProved(f"change {number} of the keys does not follow on those before it")
    if lines[0] != f"{key.name}/keys" or any(key.name != each.name for each in ever):
        raise NotProved(f"change {number} of the keys is of another log")
    signing = [each for each, last in ever.items() if last is None]
    open_note(note, [*signing, key])
    signers = signed_by(note, [*signing, key])
    others = [each for each in signers if each in signing and each != key]
    if act == "introduced" and key not in ever and key in signers and (others or not ever):
        ever[key] = None
    elif act == "retired" and key in signing and others:
        ever[key] = size
    else:
        raise NotProved(f"change {number} of the keys is none, or not signed by those it needs")
