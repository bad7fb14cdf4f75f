"""The process that decides recorded history anew: `python -m services.policy.adapters.simulating`.

Asked one thing over standard input (JSON); answers over standard output in frames, each a kind (one byte), a length
(four bytes, big-endian) and so many bytes: how far it is, or the one fault that ended it. It is nice to live decisions:
it yields the processor to them.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from chassis import process
from chassis.eventlog.connection import connect
from chassis.eventlog.subject_keys import NatsSubjectKeys
from chassis.eventlog.wire import Connection
from chassis.tls import certificates
from chassis.tls.contexts import client_context
from kernel.faults import Fault, Invalid
from services.policy.adapters.simulating.frames import FAULT, teller
from services.policy.adapters.simulating.simulation import Simulating
from services.policy.domain.flips import Simulation


def asked_of(told: dict[str, Any]) -> Simulation:
    """The question as it came."""
    times = {
        name: datetime.fromisoformat(told[name]) if told[name] else None for name in ("from_time", "to_time")
    }
    return Simulation(**(told | times))


async def main(_stopping: process.Stopping) -> None:
    say = teller()
    told = json.loads(sys.stdin.buffer.readline())
    connection: Connection | None = None
    try:
        files = [Path(each) for each in told["tls_files"]]
        connection = await connect(
            told["nats_url"],
            name="policy-simulation",
            tls=client_context(certificates.shared(*files) if files else None),
            inbox_prefix="_INBOX.policy",
        )
        keys = await NatsSubjectKeys(connection, Path(told["sealing_key_file"]), "simulation").start()
        simulating = Simulating(asked_of(told["simulation"]), keys, say)
        await simulating.run(connection)
        await keys.stop()
    except Fault as fault:
        invalid = isinstance(fault, Invalid)
        said = {"invalid": invalid, "reason": fault.reason, "text": fault.text, "facts": fault.facts}
        say(FAULT, json.dumps(said).encode())
    finally:
        if connection is not None:
            await connection.close()


if __name__ == "__main__":
    process.run(main)
