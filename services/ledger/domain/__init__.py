"""What a ledger is: leaves, a tree over them, signed heads, and what the events add up to. Pure."""
