"""Between the ledger's records and protobuf: facts out of events, answers out of rows."""
