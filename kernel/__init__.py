"""Words every service shares: deciders, events, faults, ports.

Pure: standard library only, and of it nothing that reads a clock, makes an id or does I/O.
"""
