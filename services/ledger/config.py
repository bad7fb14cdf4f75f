"""The ledger's settings: those that all share, and where its database, key and last head are."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from chassis.config import ServiceSettings
from services.ledger.domain.witnesses import parse_witnesses

ORIGIN = "provost.local/main"
"""The log's name, and its keys': one shard has one stream and one tree."""


class LedgerSettings(ServiceSettings):
    ledger_db: Path = Field(Path("ledger/ledger.db"), alias="PROVOST_LEDGER_DB")

    ledger_database_url: SecretStr = Field(SecretStr(""), alias="PROVOST_LEDGER_DATABASE_URL")
    ledger_database_password_file: Path | None = Field(None, alias="PROVOST_LEDGER_DATABASE_PASSWORD_FILE")
    ledger_database_role: str = Field("", alias="PROVOST_LEDGER_DATABASE_ROLE")

    @field_validator("ledger_database_role")
    @classmethod
    def _lent(cls, value: str, info: ValidationInfo) -> str:
        if value and not (info.data.get("vault_url") and info.data.get("ledger_database_url")):
            raise ValueError(
                "it is a role in the Vault at VAULT_URL, for PROVOST_LEDGER_DATABASE_URL: set both"
            )
        return value

    @property
    def database_lease(self) -> str:
        """Where Vault makes users of the database; empty: they are in the URL."""
        return f"database/creds/{self.ledger_database_role}" if self.ledger_database_role else ""

    @field_validator("ledger_database_url")
    @classmethod
    def _postgres(cls, value: SecretStr) -> SecretStr:
        """The message must not show what is in it."""
        try:
            parts = urlsplit(value.get_secret_value())
            known = parts.scheme in {"", "postgresql", "postgres"} and parts.port != 0
            known = known and parts.netloc.count("@") <= 1  # in a password it is %40
        except ValueError:
            known = False
        if not known or (parts.scheme and not parts.path.strip("/")):
            raise ValueError("it is to be postgresql://USER@HOST:PORT/DATABASE")
        return value

    @field_validator("ledger_database_password_file")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not os.access(value, os.R_OK):
            raise ValueError("there is no such file, or it may not be read")
        return value

    public_events: bool = Field(False, alias="PROVOST_PUBLIC_EVENTS")

    personal_days: float = Field(0.0, ge=0, alias="PROVOST_PERSONAL_DAYS")
    ledger_scrub_seconds: float = Field(86_400.0, ge=0, alias="PROVOST_LEDGER_SCRUB_SECONDS")

    @property
    def scrub_file(self) -> Path:
        """Where the scrubber is; deleted, it begins again."""
        return self.within_home(Path("ledger/scrub.json"))

    ledger_witnesses: str = Field("", alias="PROVOST_LEDGER_WITNESSES")

    @field_validator("ledger_witnesses")
    @classmethod
    def _witnesses(cls, value: str) -> str:
        parse_witnesses(value)
        return value

    @property
    def witnessed(self) -> Path:
        """What witnesses have signed, and the keys they are to trust. Deleted, they are asked again."""
        return self.within_home(Path("ledger/witnessed"))

    @property
    def database(self) -> Path:
        """May be deleted at any time: it is rebuilt from the event log."""
        return self.within_home(self.ledger_db)

    @property
    def signing_key(self) -> Path:
        """Signs tree heads; readable by the ledger alone."""
        return self.within_home(Path("keys/ledger.key"))

    @property
    def signed_head(self) -> Path:
        """The last head that was signed. Not in the database, and not to be deleted with it."""
        return self.within_home(Path("ledger/signer/head"))
