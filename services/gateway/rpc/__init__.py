"""The gRPC front: one service of its own, and all the others passed through after the same check at the door."""
