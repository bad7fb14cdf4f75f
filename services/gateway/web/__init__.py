"""REST: hostile input made into clear questions, faults into problem documents. Knows nothing of gRPC."""
