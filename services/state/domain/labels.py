"""Labels: what kind of data something holds. They travel with it, and stick to whoever reads it."""

import re
from collections.abc import Iterable

from services.state.domain.faults import FieldInvalid, LabelUnknown

MAX_LABELS = 16
_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def require_labels(labels: Iterable[str], known: frozenset[str] | None) -> tuple[str, ...]:
    """`labels`, each once and in order. `known` are those of the policy set; `None` when it names none.

    Raises:
        Invalid: a label is malformed, or there are too many.
        LabelUnknown: the policy set does not have it.
    """
    found = tuple(sorted(set(labels)))
    if len(found) > MAX_LABELS:
        raise FieldInvalid("labels", f"has {len(found)} entries; at most {MAX_LABELS} are allowed")
    for label in found:
        if _LABEL.fullmatch(label) is None:
            raise FieldInvalid(
                "labels", "each must be 1 to 64 characters of a-z, 0-9, '_', '.', '-', a letter first"
            )
        if known is not None and label not in known:
            raise LabelUnknown(label, known)
    return found
