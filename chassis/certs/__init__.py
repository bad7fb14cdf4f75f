"""Keeps the certificates of services fresh, from Vault's PKI: a process beside them, or one for several."""
