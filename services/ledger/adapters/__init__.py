"""What plugs into the ledger's ports: SQLite, the event stream, the signer's key and head file."""
