"""`python -m services.ledger.keys show | introduce | retire`: the composition root of changing keys.

`introduce` makes a key that signs beside the old one; once everybody who checks has it, `retire` lets the old one go.
Both may be repeated after they were cut off, and a ledger that runs goes by them within seconds.
"""

import argparse
import asyncio
import sys

from chassis.config import load
from chassis.process import now
from kernel.faults import Fault
from services.ledger.adapters.signer import FileSigner, KeysNotChanged
from services.ledger.adapters.witnesses import publish_keys
from services.ledger.config import ORIGIN, LedgerSettings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.ledger.keys", description=__doc__)
    parser.add_argument("step", choices=("show", "introduce", "retire"))
    step = parser.parse_args(arguments).step
    settings = load(LedgerSettings)
    try:
        signer = FileSigner(ORIGIN, settings.signing_key, settings.signed_head)
        if step == "introduce":
            asyncio.run(signer.introduce(now()))
        elif step == "retire":
            asyncio.run(signer.retire(now()))
        vkeys = [each.text for each in signer.keys]
        publish_keys(settings.witnessed, vkeys)
    except (Fault, KeysNotChanged, OSError, ValueError) as problem:
        sys.stderr.write(f"Not done: {problem}\n")
        return 1
    sys.stdout.writelines(f"{each}\n" for each in vkeys)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
