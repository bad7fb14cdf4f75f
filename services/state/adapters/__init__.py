"""What plugs into state's ports: the store, the artifact directory, the log's history."""
