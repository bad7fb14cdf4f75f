"""What holds for every test: how long an example takes is measured by benches, and is no reason to fail."""

import os

# Before anything imports gRPC, as the processes of a running Provost have it (`chassis.embedded.services.FITTED`).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from hypothesis import settings

settings.register_profile("provost", deadline=None)
settings.load_profile("provost")
