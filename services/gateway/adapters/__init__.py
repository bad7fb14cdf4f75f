"""What plugs into the gateway's ports: peers over gRPC, the store's token buckets, the event log."""
