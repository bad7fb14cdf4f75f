"""The ledger's book in SQLite: one writer on a thread of its own, readers beside it (WAL)."""
