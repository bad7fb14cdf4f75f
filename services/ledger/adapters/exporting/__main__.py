"""The process that makes the files of one export: messages on standard input, files on standard output.

`python -m services.ledger.adapters.exporting PLAN`, where PLAN is JSON; started by `Exporter`, for nobody else. Ends
when its input does, so that it outlives nobody.
"""

import json
import os
import sys

from services.ledger.adapters.exporting.files import Files, WrongMessages
from services.ledger.adapters.exporting.frames import pack_piece, read_messages
from services.ledger.domain.checkpoint import Checkpoint
from services.ledger.domain.export import Piece, Plan

_LESS_URGENT = 10  # than answering and keeping what arrives


def main(told: str) -> int:
    os.nice(_LESS_URGENT)
    origin, size, root, first, parquet, events_per_file = json.loads(told)
    plan = Plan(Checkpoint(origin, size, bytes.fromhex(root)), first, parquet, events_per_file)
    out = sys.stdout.buffer

    def write(piece: Piece) -> None:
        out.write(pack_piece(piece))

    try:
        filed = Files(plan, read_messages(sys.stdin.buffer), write).make()
    except (WrongMessages, EOFError) as problem:
        end = {"problem": str(problem)}
    except ImportError:
        end = {"missing": "parquet"}
    else:
        end = {"root": filed.root.hex(), "sums": filed.sums.hex()}
    write(Piece("", json.dumps(end).encode(), size))
    out.flush()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except BrokenPipeError:
        os._exit(1)  # nobody reads any more
