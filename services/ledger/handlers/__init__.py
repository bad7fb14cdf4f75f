"""What the ledger does when it is asked: keep, show, prove, verify, rebuild."""

from services.ledger.handlers.ledger import Ledger

__all__ = ["Ledger"]
