"""The three PEM files by which a process is known: its certificate, its key, and the authority that it believes.

They are looked at again every second while they are in use, so that a renewed certificate needs no restart. What cannot
be used is told in the log and left alone: the last good ones stay in use.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chassis import process, telemetry
from chassis.config import ServiceSettings

SPIFFE = "spiffe://provost/"
"""What the name of a service stands behind in its certificate, as a URI (SPIFFE ID, section 2)."""
LOOK_SECONDS = 1.0
_log = telemetry.get_logger("chassis.tls")


class CertificateTrouble(Exception):
    """Files that cannot be used; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Material:
    """One reading of the files, which belong together. Bytes are PEM."""

    certificate: bytes
    key: bytes
    authority: bytes
    service: str
    not_before: datetime
    not_after: datetime
    generation: int

    def trouble(self, at: datetime) -> str:
        """What is wrong with the certificate at that time; nothing when nothing is."""
        name = f"the certificate of {self.service}"
        if at > self.not_after:
            return f"{name} expired at {self.not_after:%Y-%m-%dT%H:%M:%SZ}: issue a new one"
        if at < self.not_before:
            return f"{name} is not valid before {self.not_before:%Y-%m-%dT%H:%M:%SZ}: is this machine's clock right?"
        return ""


class Certificates:
    """The files of one process, as they are now. May be asked from any thread."""

    def __init__(self, certificate: Path, key: Path, authority: Path | None = None) -> None:
        """Without an `authority`, nobody is asked for a certificate, and who issued this one is others' concern."""
        self.files = (certificate, key) if authority is None else (certificate, key, authority)
        self._lock = threading.Lock()
        self._material: Material | None = None
        self._seen: Sequence[object] = ()
        self._told = ""
        self._look_again = 0.0

    def current(self) -> Material:
        """The last good reading, at most a second old.

        Raises:
            CertificateTrouble: there has never been a good one.
        """
        material = self._material
        if material is not None and process.monotonic() < self._look_again:
            return material
        with self._lock:
            return self._looked()

    def trouble(self) -> str:
        """What is wrong with what is in use at this moment; nothing when nothing is."""
        try:
            return self.current().trouble(process.now())
        except CertificateTrouble as trouble:
            return str(trouble)

    def _looked(self) -> Material:
        self._look_again = process.monotonic() + LOOK_SECONDS
        try:
            seen = [(each.stat().st_mtime_ns, each.stat().st_ino, each.stat().st_size) for each in self.files]
            if self._material is None or seen != self._seen:
                generation = 1 if self._material is None else self._material.generation + 1
                fresh = _read(self.files, generation)
                if self._material is not None:
                    _log.info("certificate renewed", service=fresh.service, until=fresh.not_after.isoformat())
                self._material, self._seen = fresh, seen
        except (CertificateTrouble, OSError) as problem:
            trouble = str(problem) if isinstance(problem, CertificateTrouble) else _unread(problem)
            if self._material is None:
                raise CertificateTrouble(trouble) from None
            self._tell(f"{trouble}; the one read before stays in use")
            return self._material
        self._tell(self._material.trouble(process.now()))
        return self._material

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._told:
            _log.error("certificate", problem=trouble, file=str(self.files[0]))
        self._told = trouble


def of(settings: ServiceSettings, service: str) -> Certificates | None:
    """Those of `service`; None: none are set, and nothing is encrypted. All who ask share one."""
    files = settings.tls_files(service)
    return None if files is None else shared(*files)


def of_gateway(settings: ServiceSettings) -> Certificates | None:
    """What the gateway shows to callers, who show it a key and no certificate; None: it speaks to them in the clear."""
    files = settings.gateway_files()
    return None if files is None else shared(*files)


@lru_cache(maxsize=64)
def shared(certificate: Path, key: Path, authority: Path | None = None) -> Certificates:
    """One reader for each set of files."""
    return Certificates(certificate, key, authority)


def service_of(certificate: x509.Certificate) -> str:
    """The service it was issued to; empty when it names none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = [
        each for each in names.get_values_for_type(x509.UniformResourceIdentifier) if each.startswith(SPIFFE)
    ]
    return found[0].removeprefix(SPIFFE) if len(found) == 1 else ""


def _read(files: Sequence[Path], generation: int) -> Material:
    certificate, key, *rest = (each.read_bytes() for each in files)
    authority = rest[0] if rest else b""
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        raise CertificateTrouble(f"{files[0]} holds no certificate in PEM") from None
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise CertificateTrouble(f"{files[1]} holds no private key in PEM without a password") from None
    try:
        authorities = x509.load_pem_x509_certificates(authority) if rest else []
    except ValueError:
        raise CertificateTrouble(f"{files[2]} holds no certificate of an authority in PEM") from None
    if private.public_key() != leaf.public_key():
        raise CertificateTrouble(f"the key in {files[1]} is not that of the certificate in {files[0]}")
    chain = [*x509.load_pem_x509_certificates(certificate)[1:], *authorities]
    if rest and not any(_issued(leaf, each) for each in chain):
        raise CertificateTrouble(
            f"the certificate in {files[0]} was issued by {leaf.issuer.rfc4514_string()}, "
            f"which is not among those in {files[2]}"
        )
    name = service_of(leaf) or leaf.subject.rfc4514_string() or str(files[0])
    return Material(
        certificate, key, authority, name, leaf.not_valid_before_utc, leaf.not_valid_after_utc, generation
    )


def _issued(leaf: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _unread(problem: OSError) -> str:
    return f"{problem.filename} cannot be read ({problem.strerror}): `provost certs issue` makes such files"
