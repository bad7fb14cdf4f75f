"""What plugs into the orchestrator's ports: peers over gRPC."""
