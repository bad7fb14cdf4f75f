"""One script, gone through by a client in each language against the same Provost: all of them say the same."""
