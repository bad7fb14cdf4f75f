"""What state can be told."""

from pathlib import Path

from chassis.config import ServiceSettings


class StateSettings(ServiceSettings):
    """Nothing beyond what all processes share, so far: artifacts lie under `PROVOST_HOME`."""

    @property
    def artifacts(self) -> Path:
        """Where artifacts are kept."""
        return self.within_home(Path("artifacts"))
