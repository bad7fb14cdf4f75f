"""Events of former shapes as the ledger reads them today; what is stored and proved stays as it was published."""

from chassis.eventlog.codec import Upcasts

UPCASTS = Upcasts()
"""None so far: what was added to events since has defaults that mean what its absence meant."""
