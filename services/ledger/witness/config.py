"""The witness's settings: its name, which logs it watches, and where its key and its memory are."""

from pathlib import Path

from pydantic import Field, field_validator

from chassis.config import ServiceSettings
from services.ledger.witness.trust import Trusted


class WitnessSettings(ServiceSettings):
    witness_name: str = Field("provost.local/witness", alias="PROVOST_WITNESS_NAME")
    witness_logs: str = Field("", alias="PROVOST_WITNESS_LOGS")

    @field_validator("witness_logs")
    @classmethod
    def _keys(cls, value: str) -> str:
        Trusted(value)
        return value

    @property
    def signing_key(self) -> Path:
        """Cosigns; readable by the witness alone."""
        return self.within_home(Path("keys/witness.key"))

    @property
    def memory(self) -> Path:
        """The last head signed of each log. Without it the key must not be used again."""
        return self.within_home(Path("witness/heads.db"))

    @property
    def verifier_key(self) -> Path:
        """The public half of the key, for whoever is to trust it."""
        return self.within_home(Path("witness/vkey"))
