"""The ledger's settings: those that all share, and where its database, key and last head are."""

from pathlib import Path

from pydantic import Field

from chassis.config import ServiceSettings


class LedgerSettings(ServiceSettings):
    ledger_db: Path = Field(Path("ledger/ledger.db"), alias="PROVOST_LEDGER_DB")

    ledger_scrub_seconds: float = Field(86_400.0, ge=0, alias="PROVOST_LEDGER_SCRUB_SECONDS")

    @property
    def scrub_file(self) -> Path:
        """Where the scrubber is; deleted, it begins again."""
        return self.within_home(Path("ledger/scrub.json"))

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
