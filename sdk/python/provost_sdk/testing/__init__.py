"""A Provost for your own tests: in your process, in milliseconds, the same every time.

    async with Double() as double, Provost(double.address, double.key("operator")) as provost:
        run = await provost.process_log("kernel: Out of memory: Killed process 1 (java)")
        assert run.incident.cause == "memory"

A real gRPC server on loopback, so that clients and agents in any language can be tested with it. It decides from the
tables it is given, keeps everything in memory, makes ids of request ids and times of one fixed moment. It keeps no log:
what watches events or asks for proofs is refused with UNIMPLEMENTED. Where it answers, it answers as Provost does: both
are held to the same script (`tests/conformance`).
"""

from provost_sdk.testing.server import Double
from provost_sdk.testing.tables import FINDINGS, RULES, Finding, Rule

__all__ = ["FINDINGS", "RULES", "Double", "Finding", "Rule"]
