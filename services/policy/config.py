"""Policy's settings: those that all share, and where its key is."""

from pathlib import Path

from chassis.config import OpaEndpoint, ServiceSettings


class PolicySettings(ServiceSettings):
    opa_endpoint: OpaEndpoint = ""

    @property
    def signing_key(self) -> Path:
        """Signs session tokens and permits; readable by policy alone."""
        return self.within_home(Path("keys/policy.pem"))
