"""Signs of life as they lie in the store: a time each, and what is none counts as none."""

from datetime import datetime
from functools import lru_cache

from chassis.telemetry import get_logger
from services.state.domain.documents import key_of
from services.state.domain.view import Part, Place

_SIGNS_OF_LIFE = (Part.HEARTBEAT, Part.ACTIVITY)
_log = get_logger("state.store")


def sound(place: Place, text: str | None) -> str | None:
    """`text`, unless it should be a time and is none."""
    if text is None or place.part not in _SIGNS_OF_LIFE:
        return text
    return text if _is_time(key_of(place), text) else None


@lru_cache(256)
def _is_time(key: str, text: str) -> bool:
    """Remembered, so that one that is none is told of once."""
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return True
    except ValueError:
        pass  # as one without a zone: told of below
    _log.warning("a sign of life in the store is no time, and counts as none", where=key)
    return False
