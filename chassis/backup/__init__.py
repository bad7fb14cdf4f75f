"""Copies of what cannot be made anew: the streams of the event log, taken while everything runs."""
