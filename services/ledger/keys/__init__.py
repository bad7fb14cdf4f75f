"""Changing the keys a ledger signs with: a command for whoever runs it, on its machine, while it runs or not."""
