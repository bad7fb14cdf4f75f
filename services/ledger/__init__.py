"""The ledger proves what happened.

It follows every event, whoever published it, and keeps each one as a leaf of a Merkle tree with signed heads: what it
has once shown it cannot change unnoticed. It answers what happened, as events and as tables of what agents did, to each
tenant its own. Nothing can be written to it; it can be deleted at any moment and comes back from the events, equal.
"""
