"""What state can be told."""

from pathlib import Path

from pydantic import Field

from chassis.config import ServiceSettings


class StateSettings(ServiceSettings):
    artifact_days: float = Field(0.0, ge=0, alias="PROVOST_ARTIFACT_DAYS")

    @property
    def artifacts(self) -> Path:
        """Where artifacts are kept."""
        return self.within_home(Path("artifacts"))
