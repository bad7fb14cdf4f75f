"""Which signed heads are kept. One a second is thirty-one million a year; what they prove, fewer prove as well.

Of the last day all are kept, of the time before the last of every hour. Nothing that was handed out becomes worthless:
a head is proved to have grown into any later one from the tree itself (RFC 6962, 2.1.2), whether the ledger remembers
it or not, and the signer's own last head is kept outside.
"""

from collections.abc import Sequence
from itertools import pairwise

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def superfluous(heads: Sequence[tuple[int, int]]) -> list[int]:
    """The sizes of heads that need not be kept. `heads`: sizes and times in microseconds since 1970, smallest first."""
    newest = max((at_us for _, at_us in heads), default=0)
    return [
        size
        for (size, at_us), (_, next_us) in pairwise(heads)
        if at_us < newest - DAY_US and at_us // HOUR_US == next_us // HOUR_US
    ]
