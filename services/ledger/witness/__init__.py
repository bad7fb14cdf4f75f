"""The witness: a process of its own, with a key and a memory of its own, that signs a log's head only if it grew out of
the last one it signed.

It speaks C2SP tlog-witness and may serve any log that speaks it. It shares nothing with the ledger it watches: no code,
no database, no secret, at best no machine. What it verifies with is the SDK's verifier, the second implementation, so
that a mistake in the ledger's own is not its own too.
"""
