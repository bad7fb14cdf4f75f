"""`python -m chassis.backup take DIR`, `… restore DIR`: copies of the event log, with the settings of any service.

The keys of subjects are left out unless `--with-keys`: a copy that holds them, and the file that opens them, could
still read those who are erased later (docs/erasure.md).
"""

import argparse
import sys
from pathlib import Path

from chassis import process
from chassis.backup.streams import BackupTrouble, restore, take
from chassis.config import ServiceSettings, load
from chassis.eventlog.connection import connect
from chassis.eventlog.stream import EVENTS
from chassis.eventlog.subject_keys import KEYS
from chassis.tls import certificates
from chassis.tls.contexts import client_context
from kernel.faults import Fault

_HINT = """\
It is PROVOST_NATS_URL=nats://provost:PASSWORD@HOST:PORT after `make run`, where .provost/keys/nats has the password;
in a cluster PROVOST_TLS_CERT_FILE and its like name the certificate `operator` (docs/operations.md)."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chassis.backup", description=__doc__)
    parser.add_argument("verb", choices=("take", "restore"))
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--with-keys", action="store_true", help=f"the stream {KEYS} as well")
    parser.add_argument(
        "--stream", action="append", metavar="NAME", help=f"another one than {EVENTS}; may be repeated"
    )
    return parser.parse_args()


async def main(_: process.Stopping) -> None:
    asked, settings = arguments(), load(ServiceSettings)
    tls = client_context(certificates.of(settings, "operator"))
    try:
        connection = await connect(settings.nats_url, name="backup", tls=tls, inbox_prefix="_INBOX.operator")
    except Fault as trouble:
        raise SystemExit(f"{trouble}\n{_HINT}") from None
    try:
        for stream in (*(asked.stream or (EVENTS,)), *((KEYS,) if asked.with_keys else ())):
            state = await (take if asked.verb == "take" else restore)(connection, stream, asked.directory)
            done = "kept in" if asked.verb == "take" else "restored from"
            span = f"{state['messages']:,} messages, sequences {state['first_seq']} to {state['last_seq']}"
            sys.stdout.write(f"{stream}: {span}, {done} {asked.directory / stream}\n")
    except (BackupTrouble, Fault) as trouble:
        raise SystemExit(str(trouble)) from None
    finally:
        await connection.close()


if __name__ == "__main__":
    process.run(main)
