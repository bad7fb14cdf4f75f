"""gRPC as every service speaks it: server, client, faults both ways, and who asked. Knows no service."""

MIB = 1024 * 1024
SMALL_MESSAGES = 4 * MIB
LARGE_MESSAGES = 34 * MIB  # a log of 32 MiB and what surrounds it
