"""Exports of a log: received into a folder, and checked there with a public key alone. Written from the format, and not
from the ledger's code, which it is there to check."""
