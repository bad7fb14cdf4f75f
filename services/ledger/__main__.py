"""The ledger's composition root."""

import sys

from chassis import process
from chassis.beginning import begun
from chassis.eventlog.opened import opened
from chassis.rpc.opening import Opening
from chassis.rpc.server import Server
from chassis.tls import certificates
from chassis.tls.contexts import client_context
from provost.ledger.v1.ledger_pb2_grpc import add_LedgerServiceServicer_to_server
from services.ledger.adapters.books import book_in
from services.ledger.adapters.erasures import Erasures
from services.ledger.adapters.exporting.exporter import ProcessExporter
from services.ledger.adapters.mending import FileScrubMemory, JetStreamMender
from services.ledger.adapters.public import Publisher
from services.ledger.adapters.signer import FileSigner
from services.ledger.adapters.stream import JetStreamEvents
from services.ledger.adapters.witnesses import watched_by
from services.ledger.config import ORIGIN, LedgerSettings
from services.ledger.handlers import Ledger
from services.ledger.handlers.causes import Causes
from services.ledger.handlers.exporting import Exports
from services.ledger.reactor import Reactor, follows
from services.ledger.rpc import AS_PUBLISHED, LedgerServicer
from services.ledger.wire.references import references_of
from services.ledger.wire.understanding import understand


async def main(stopping: process.Stopping) -> None:
    sys.setswitchinterval(0.001)  # whoever writes gives way at every statement, and waits this long each time
    took = await begun(LedgerSettings, "ledger", stopping)
    settings = took.settings
    connection, keys = await opened(settings, "ledger")
    erasures = Erasures(connection, keys, settings.personal_days)
    signer = FileSigner(ORIGIN, settings.signing_key, settings.signed_head)
    url = settings.ledger_database_url.get_secret_value()
    login = await took.lent(settings.database_lease)
    tls = client_context(certificates.of(settings, "ledger"))
    book = book_in(settings.database, url, settings.ledger_database_password_file, understand, login, tls)
    witnessing = watched_by(settings.ledger_witnesses, settings.witnessed, book, signer)
    mender = JetStreamMender(connection)
    memory = FileScrubMemory(settings.scrub_file)
    ledger = Ledger(book, JetStreamEvents(connection), signer, mender, memory, witnessing)
    public = Publisher(connection, on=settings.public_events)
    server = Server(settings, "ledger", tell=Opening(keys, AS_PUBLISHED), why=took.why)
    causes = Causes(book, understand, references_of)
    exports = Exports(book, signer, ProcessExporter(), ledger.proving.tree_head, lambda: ledger.position)
    server.add(add_LedgerServiceServicer_to_server, LedgerServicer(ledger, exports, causes, erasures.erasing))
    await erasures.start()
    await server.start()
    await public.start()
    reactor = Reactor(ledger, follows(connection), server.set_serving, settings.ledger_scrub_seconds)
    await stopping.ends(reactor.run())
    for stop in (server.stop, public.stop, erasures.stop, book.close, connection.close, took.stop):
        await stop()


if __name__ == "__main__":
    process.run(main, collect=(50_000, 20, 50))  # rows have no circles: looking for some costs a fifth
