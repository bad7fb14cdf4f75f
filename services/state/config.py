"""What state can be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from chassis.config import ServiceSettings


class StateSettings(ServiceSettings):
    artifacts: Literal["directory", "nats"] = Field("directory", alias="PROVOST_ARTIFACTS")
    artifact_days: float = Field(0.0, ge=0, alias="PROVOST_ARTIFACT_DAYS")
    stuck_seconds: float = Field(30.0, ge=1, le=3600, alias="PROVOST_STUCK_SECONDS")

    @property
    def directories(self) -> tuple[Path, Path]:
        """Where artifacts are kept, and where snapshots of the log's fold."""
        return self.within_home(Path("artifacts")), self.within_home(Path("snapshots"))
