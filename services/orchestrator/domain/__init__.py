"""The rules of a run. Pure: no clock, no ids, no I/O."""
