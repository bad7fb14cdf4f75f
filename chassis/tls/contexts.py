"""TLS for those who speak it through Python's ssl: NATS, the store, PostgreSQL, Vault."""

import ssl
import tempfile
from pathlib import Path
from typing import Any, Self

from chassis.tls.certificates import Certificates


class _Renewed(ssl.SSLContext):
    """Takes renewed certificates before each handshake, so that whoever holds it never has to."""

    _certificates: Certificates
    _generation = 0

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self.renew()
        return super().wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        self.renew()
        return super().wrap_socket(*args, **kwargs)

    def renew(self) -> None:
        material = self._certificates.current()
        if material.generation == self._generation:
            return
        self.load_verify_locations(cadata=material.authority.decode())
        # Python reads these from files alone, and those outside may be renewed between one and the other.
        with tempfile.TemporaryDirectory() as directory:
            both = Path(directory) / "both.pem"
            both.touch(mode=0o600)
            both.write_bytes(material.certificate + b"\n" + material.key)
            self.load_cert_chain(both)
        self._generation = material.generation

    @classmethod
    def showing(cls, certificates: Certificates) -> Self:
        context = cls(ssl.PROTOCOL_TLS_CLIENT)  # checks host names and demands a certificate
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context._certificates = certificates
        context.renew()
        return context


def client_context(certificates: Certificates | None) -> ssl.SSLContext | None:
    """A context that shows our certificate and believes our authority alone; None where there are none.

    An authority that is taken out of the file is believed until the process starts anew: ssl cannot forget one.

    Raises:
        CertificateTrouble: there is no certificate to show.
    """
    return None if certificates is None else _Renewed.showing(certificates)
