"""What every process stands on: settings, telemetry, the event log, RPC. Knows no service."""
