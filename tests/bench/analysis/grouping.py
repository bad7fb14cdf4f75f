"""Template grouping accuracy on six sets, one configuration for all, beside drain3's default in the same run."""

from pathlib import Path
from typing import NamedTuple

from services.orchestrator.agents.drain import Miner
from services.orchestrator.agents.reading import read
from tests.bench.analysis.loghub import SETS, grouping_accuracy, sample
from tests.bench.analysis.peer import Peer

PUBLISHED = {"OpenSSH": 0.718, "OpenStack": 0.309, "Linux": 0.684, "Apache": 1.0, "BGL": 0.969, "HDFS": 0.998}


class Row(NamedTuple):
    """Accuracies of one set: on the content column and on raw lines, ours and drain3's."""

    log: str
    content: float
    drain3_content: float
    raw: float
    drain3_raw: float | None


def grouping(data: Path, other: Peer | None) -> list[Row]:
    """One row a set, and their averages. Without drain3 its figures on content are those measured before,
    none on raw lines.

    Our raw figure is what the agent does with raw lines: heads are taken off by format, messages mined.
    """
    rows = []
    for name in SETS:
        log = sample(data, name)
        miner = Miner()
        content = grouping_accuracy(log.events, [miner.add(line) for line in log.content])
        reading = read("\n".join(log.raw))
        raw = grouping_accuracy(
            log.events, [reading.kinds[kind].group if kind >= 0 else -1 for kind in reading.kind_of]
        )
        theirs, theirs_raw = PUBLISHED[name], None
        if other is not None:
            theirs = grouping_accuracy(log.events, other.mine(log.content).groups)
            theirs_raw = grouping_accuracy(log.events, other.mine(log.raw).groups)
        rows.append(Row(name, content, theirs, raw, theirs_raw))
    raws = [row.drain3_raw for row in rows if row.drain3_raw is not None]
    rows.append(
        Row(
            "average",
            sum(row.content for row in rows) / len(rows),
            sum(row.drain3_content for row in rows) / len(rows),
            sum(row.raw for row in rows) / len(rows),
            sum(raws) / len(raws) if raws else None,
        )
    )
    return rows
