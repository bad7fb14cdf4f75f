"""Go's own tools (golang.org/x/mod/sumdb note and tlog) read the log unchanged, over HTTP, and believe nothing."""

import pytest

from chassis.eventlog.wire import Connection
from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.checkpoint import VerifierKey
from tests.fakes.wait import until
from tests.integration.ledger.process import publish
from tests.integration.log.conftest import Log
from tests.system.conftest import Reading
from tests.unit.ledger.story import plains

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


async def test_every_record_and_the_growth_of_the_log_are_checked_by_gos_tools(
    log: Log, read: Reading, events: Connection
) -> None:
    first = await log.head(await publish(events, plains(300)))
    assert first.tree_head.tree_size == 300
    await log.head(await publish(events, plains(441, first=301)))
    done = read(first.tree_head.checkpoint, first.verifier_key)
    assert (done.returncode, done.stdout, done.stderr) == (0, "741 741 300\n", "")

    other = VerifierKey(first.tree_head.origin, bytes(range(32))).text
    done = read(first.tree_head.checkpoint, other)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no verifiable signatures" in done.stderr

    forged = first.tree_head.checkpoint.replace("\n300\n", "\n299\n")
    assert "invalid signature" in read(forged, first.verifier_key).stderr


async def test_gos_tools_name_the_record_that_was_edited(log: Log, read: Reading, events: Connection) -> None:
    known = await log.head(await publish(events, plains(600)))
    log.ledger.edit("UPDATE events SET payload = x'00' WHERE sequence = 400")
    done = read(known.tree_head.checkpoint, known.verifier_key)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("record 399: ")


async def test_gos_tools_go_on_while_keys_are_changed(log: Log, read: Reading, events: Connection) -> None:
    """With the old key until it is retired, with the new one from its introduction on, with both always."""
    first = await log.head(await publish(events, plains(20)))
    old = first.verifier_key
    assert log.change_keys("show") == [old]
    _, new = log.change_keys("introduce")

    async def bears_both() -> bool:
        return (await log.head(20)).tree_head.checkpoint.count("\n\u2014 ") == 2

    await until(bears_both, "the last head is not signed with the new key, though the log does not grow")
    overlap = (await log.head(await publish(events, plains(20, first=21)))).tree_head.checkpoint
    for keys in ((old,), (new,), (old, new)):
        assert read(overlap, *keys).stdout == "40 40 40\n"
    assert read(first.tree_head.checkpoint, old).stdout == "40 40 20\n"

    assert log.change_keys("retire") == [new]
    last = await log.head(await publish(events, plains(20, first=41)))
    assert (last.verifier_key, list(last.verifier_keys)) == (new, [new])
    assert read(overlap, new).stdout == "60 60 40\n"
    assert read(first.tree_head.checkpoint, old, new).stdout == "60 60 20\n"
    assert "no verifiable signatures" in read(overlap, old).stderr

    verified = await log.ledger.ask("VerifyLedger", pb.VerifyLedgerRequest(against_log=True))
    assert verified.ok, verified
    log.ledger.stop()
    log.ledger.start()
    assert (await log.head(60)).tree_head.checkpoint == last.tree_head.checkpoint
