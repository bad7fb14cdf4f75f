"""The witness's composition root: `python -m services.ledger.witness`, and `… restore CHECKPOINT …` when its memory
was lost.
"""

import os
import sys
from pathlib import Path

from chassis import config, files, process, telemetry
from services.ledger.witness.config import WitnessSettings
from services.ledger.witness.key import WitnessKey
from services.ledger.witness.restoring import restore_from
from services.ledger.witness.server import HttpServer, WitnessPortTaken
from services.ledger.witness.store import MemoryLost, MemoryTaken, StoreTrouble, open_store
from services.ledger.witness.trust import Trusted
from services.ledger.witness.web import Web


async def main(stopping: process.Stopping) -> None:
    settings = config.load(WitnessSettings)
    telemetry.configure("witness", settings)
    log = telemetry.get_logger("witness")
    trusted = Trusted(settings.witness_logs)
    try:
        store = open_store(settings.memory, settings.signing_key)
        key = WitnessKey(settings.witness_name, settings.signing_key)
        files.replace(settings.verifier_key, f"{key.text}\n".encode())
        web = Web(key, trusted, store, process.now, process.monotonic)
        server = HttpServer(web, settings.listen_host, settings.witness_port, settings.shutdown_seconds)
        await server.start()
    except (MemoryLost, MemoryTaken, StoreTrouble, WitnessPortTaken, ValueError, OSError) as trouble:
        raise SystemExit(f"the witness cannot start: {trouble}") from None
    log.info(
        "ready", key=key.text, at=f"{settings.listen_host}:{settings.witness_port}", logs=len(trusted.all())
    )
    await stopping.wait()
    await server.stop()
    store.close()


def restore(paths: list[str]) -> None:
    settings = config.load(WitnessSettings)
    try:
        vkey = settings.verifier_key.read_text()
        kept = restore_from([*map(Path, paths)], settings.memory, vkey, Trusted(settings.witness_logs))
    except (ValueError, OSError, StoreTrouble) as trouble:
        raise SystemExit(f"nothing is restored: {trouble}") from None
    sys.stdout.writelines(f"{each.head.origin} at {each.head.size}\n" for each in kept)


if __name__ == "__main__":
    os.umask(0o077)
    if sys.argv[1:2] == ["restore"] and len(sys.argv) > 2:
        restore(sys.argv[2:])
    elif len(sys.argv) > 1:
        sys.exit("python -m services.ledger.witness [restore CHECKPOINT …]")
    else:
        process.run(main)
