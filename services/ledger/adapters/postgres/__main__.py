"""python -m services.ledger.adapters.postgres --admin URL: make the database ready for the ledger. Safe to repeat.

`--admin` names a role that may make roles, in the database that is to be the ledger's (`postgresql://admin@host/provost`;
its password comes from PGPASSWORD or ~/.pgpass, as for psql). The ledger's own role and database are those of
PROVOST_LEDGER_DATABASE_URL: made with its password if they are not there, and given what it needs and no more.
"""

import argparse
import asyncio
import sys

from chassis.config import load
from kernel.faults import Fault
from services.ledger.adapters.postgres.connection import Database
from services.ledger.adapters.postgres.preparing import OWNER, prepare, prepare_roles
from services.ledger.config import LedgerSettings


async def main(admin_url: str, ledgers: Database) -> str:
    """What was done, for whoever asked for it."""
    admin = await Database(admin_url).connect(statement_seconds=600)
    try:
        async with ledgers.explained():
            role = await prepare_roles(admin, ledgers)
            await prepare(admin, role, OWNER)
    finally:
        await admin.close()
    own = await ledgers.connect()
    await own.close()
    return f"{ledgers.name} is ready: role {role} may read and append, {OWNER} owns the tables"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--admin", required=True, metavar="URL")
    arguments = parser.parse_args()
    settings = load(LedgerSettings)
    url = settings.ledger_database_url.get_secret_value()
    if not url:
        sys.exit(
            "PROVOST_LEDGER_DATABASE_URL is not set: it says which database, and who the ledger is there"
        )
    try:
        told = asyncio.run(main(arguments.admin, Database(url, settings.ledger_database_password_file)))
    except Fault as fault:
        sys.exit(fault.text)
    print(told)  # noqa: T201 - it was started to say this
