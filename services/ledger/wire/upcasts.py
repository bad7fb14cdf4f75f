"""Events of former shapes as the ledger reads them today; what is stored, proved and shown stays as it was published."""

from chassis.eventlog.codec import Upcasts

UPCASTS = Upcasts()
"""None so far: what was added to events since has defaults that mean what its absence meant."""
