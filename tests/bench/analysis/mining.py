"""Lines mined per second, masks included, beside drain3 with the same masks in the same run."""

import random
import re
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from services.orchestrator.agents.drain import MASK, Miner
from tests.bench.analysis.loghub import SETS, sample
from tests.bench.analysis.peer import Peer

ROUNDS = 3
TIMES = 10  # how often the long log repeats the samples, with other numbers each time
_DIGITS = re.compile(r"\d+")


class Row(NamedTuple):
    """Lines per second over one log, the median of three rounds taken in turns."""

    log: str
    lines: int
    ours: float
    drain3: float | None
    share: float | None


def mining(data: Path, other: Peer | None) -> list[Row]:
    """The six samples' content as it is, and ten times as long with other numbers (so that no line comes
    twice).
    """
    content = [line for name in SETS for line in sample(data, name).content]
    chance = random.Random(7)

    def renumbered(line: str) -> str:
        return _DIGITS.sub(lambda m: str(chance.randrange(10 ** len(m[0]))).zfill(len(m[0])), line)

    long = [renumbered(line) for _ in range(TIMES) for line in content]
    return [_row("samples", content, other), _row("samples, renumbered", long, other)]


def _row(name: str, lines: list[str], other: Peer | None) -> Row:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        miner = Miner()
        start = time.perf_counter()
        for line in lines:
            miner.add(line)
        ours.append(len(lines) / (time.perf_counter() - start))
        if other is not None:
            theirs.append(len(lines) / other.mine(lines, MASK.pattern).seconds)
    mine, other_rate = median(ours), median(theirs) if theirs else None
    return Row(name, len(lines), mine, other_rate, mine / other_rate if other_rate else None)
