"""How long a text, a list, a lease may be. What is out of bounds is named, with what is allowed."""

import json
import re
from collections.abc import Callable, Sequence

from kernel.events import require_token
from kernel.faults import Fault
from services.state.domain.faults import FieldInvalid

MAX_AGENT_ID_CHARACTERS = 64
DEFAULT_LEASE_SECONDS, MAX_LEASE_SECONDS = 60, 3600
DEFAULT_BEAT_SECONDS = 30
"""So long is a sign of life good for."""
STALE_SECONDS = 5.0
"""Who has not been at the end of the log for longer says so, and is not well; as of policy and the ledger."""
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_SEALED = "sealed:v1:"

Blame = Callable[[str, str], Fault]
"""From a field and what is wrong with it to the fault that says so."""


def require_agent_id(value: str, field: str = "agent_id") -> str:
    """Raises Invalid unless `value` is 1 to 64 characters of `[A-Za-z0-9_-]`."""
    require_token(value, field)
    if len(value) > MAX_AGENT_ID_CHARACTERS:
        raise FieldInvalid(field, f"has at most {MAX_AGENT_ID_CHARACTERS} characters")
    return value


def require_name(value: str, field: str) -> str:
    """Raises Invalid unless `value` is 1 to 128 characters of `[A-Za-z0-9_.:-]`: phases, steps, error types."""
    if _NAME.fullmatch(value) is None:
        raise FieldInvalid(field, "must be 1 to 128 characters of A-Z, a-z, 0-9, '_', '.', ':' and '-'")
    return value


def require_seconds(value: int, field: str) -> int:
    """Raises Invalid unless `value` is 1 to 3600 seconds."""
    if not 1 <= value <= MAX_LEASE_SECONDS:
        raise FieldInvalid(field, f"must be 1 to {MAX_LEASE_SECONDS} seconds")
    return value


def require_text(value: str, field: str, max_characters: int, blame: Blame = FieldInvalid) -> None:
    """Raises what `blame` makes when `value` is longer than `max_characters`.

    What is sealed came from somebody who has held it to that, and takes more room: 4 bytes a character, in base64.
    """
    if len(value) > _room(value, max_characters):
        raise blame(field, f"has {len(value)} characters; at most {max_characters} are allowed")


def cut(value: str, max_characters: int) -> str:
    """`value`, or as much of its beginning as there is room for; half a seal would be of no use to anybody."""
    return value if len(value) <= _room(value, max_characters) else value[: max_characters - 1] + "…"


def _room(value: str, max_characters: int) -> int:
    return 6 * max_characters + 200 if value.startswith(_SEALED) else max_characters


def require_json(value: str, field: str, problem: str = "must be JSON") -> None:
    """Raises Invalid unless `value` is JSON (RFC 8259): there is no NaN in it, and no half of a character."""
    try:
        json.loads(value, parse_constant=_no_json)
        if _SURROGATE.search(value):
            json.dumps(json.loads(value), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise FieldInvalid(field, problem) from None


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def require_texts(
    values: Sequence[str], field: str, max_items: int, max_characters: int, blame: Blame = FieldInvalid
) -> None:
    """Raises what `blame` makes when there are too many `values`, or one is empty or too long."""
    if len(values) > max_items:
        raise blame(field, f"has {len(values)} entries; at most {max_items} are allowed")
    for value in values:
        if not value.strip():
            raise blame(field, "has an empty entry")
        require_text(value, field, max_characters, blame)
