"""From the event log to the aggregates, the view and the store."""
