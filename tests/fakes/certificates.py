"""Real certificates for tests, of a real authority in a directory."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from provost_sdk.certs.authority import Authority, create


class Issued:
    """An authority of its own, and what it issues."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        create(directory, 1.0, datetime.now(UTC) - timedelta(hours=3))

    def settings(self) -> dict[str, Path]:
        """What processes are told, as names of fields."""
        return {
            "tls_cert_file": self.directory / "{service}" / "tls.crt",
            "tls_key_file": self.directory / "{service}" / "tls.key",
            "tls_ca_file": self.directory / "{service}" / "ca.crt",
        }

    def files(self, name: str) -> tuple[Path, Path, Path]:
        of = self.directory / name
        return of / "tls.crt", of / "tls.key", of / "ca.crt"

    def issue(self, *names: str, hours: float = 1.0, ago: timedelta = timedelta()) -> "Issued":
        """Certificates that were issued so long `ago`, for so many hours."""
        issuing = Authority(self.directory, lambda: datetime.now(UTC) - ago)
        for name in names:
            issuing.issue(name, hours)
        return self

    def expired(self, name: str) -> "Issued":
        return self.issue(name, ago=timedelta(hours=2))
