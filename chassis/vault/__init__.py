"""Vault, or OpenBao: how a process logs in there, takes its own secrets from it and keeps what it was lent.

Knows no service: which secrets there are, and whose, is told by who asks. No secret and no token is in an error or a
log. `client` loads hvac, so a process without a Vault does not import it.
"""
