"""The event log: one port, two adapters (JetStream, memory), one follower, aggregates held in memory."""
