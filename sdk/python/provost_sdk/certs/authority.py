"""The authority and what it issues. Everything is PEM; keys are ECDSA P-256 in PKCS #8, readable by their owner alone.

    DIR/ca.crt  ca.key                     the authority
    DIR/policy/tls.crt  tls.key  ca.crt    what policy is given (the names of Kubernetes' TLS secrets)

A certificate says whose it is in a URI, `spiffe://provost/policy`, and where it may serve in DNS names and addresses.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SPIFFE = "spiffe://provost/"
SERVICES = ("policy", "state", "ledger", "orchestrator", "actuators", "agents", "gateway", "witness")
OTHERS = ("nats", "store", "postgres", "vault", "operator", "monitor")
"""What runs beside the services, and whoever looks after them."""
HERE = ("localhost", "127.0.0.1")
NODES: dict[str, tuple[str, ...]] = {"nats": ("nats-1", "nats-2", "nats-3")}
"""Servers that share one certificate."""
BACKDATED = timedelta(minutes=5)  # clocks differ


class CertificateError(Exception):
    """It cannot be done; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to know of a certificate. `name` is the service; `days` and such are for whoever prints it."""

    name: str
    file: Path
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: int
    problem: str

    def third_left(self, at: datetime) -> bool:
        """Whether two thirds of its life are over: time for another."""
        return at >= self.not_after - (self.not_after - self.not_before) / 3


class Authority:
    """The one in a directory.

    Raises:
        CertificateError: there is none, or it cannot be read.
    """

    def __init__(self, directory: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._directory = directory
        self._now = now
        try:
            self._pem = (directory / "ca.crt").read_bytes()
            key = load_pem_private_key((directory / "ca.key").read_bytes(), None)
            self._certificate = x509.load_pem_x509_certificates(self._pem)[0]
        except FileNotFoundError as missing:
            raise CertificateError(
                f"{missing.filename} is not there: `provost certs init {directory}`"
            ) from None
        except (OSError, ValueError, TypeError) as problem:
            raise CertificateError(f"the authority in {directory} cannot be read: {problem}") from None
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != self._certificate.public_key()
        ):
            raise CertificateError(f"{directory / 'ca.key'} is not the key of {directory / 'ca.crt'}")
        self._key = key

    def issue(self, name: str, hours: float, hosts: Sequence[str] = ()) -> Shown:
        """A new key and certificate for `name`, in place of those it has; valid for `hours`, and served at `hosts` too.

        The name may be one replica of something, as in `nats-1`; then it is that something's, and that replica's host.

        Raises:
            CertificateError: nobody of that name, or a host that is none; or the authority itself ends before.
        """
        service = owner_of(name)
        now = self._now()
        ends = now + timedelta(hours=hours)
        if ends > self._certificate.not_valid_after_utc:
            raise CertificateError(
                f"the authority itself ends at {_when(self._certificate.not_valid_after_utc)}, before that: "
                "issue for fewer hours, or make a new one in another directory and let both be believed meanwhile"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        served = list(dict.fromkeys((name, service, *NODES.get(name, ()), *hosts, *HERE)))
        certificate = (
            _begun(f"provost {name}", self._certificate.subject, key.public_key(), now, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(SPIFFE + service), *map(_host, served)]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, SHA256())
        )
        directory = self._directory / name
        directory.mkdir(mode=0o700, exist_ok=True)
        # The key first: who reads in between sees that they do not belong together, and looks again.
        put(directory / "tls.key", _pem_of(key))
        put(directory / "tls.crt", certificate.public_bytes(Encoding.PEM))
        put(directory / "ca.crt", self._pem)
        return show(directory / "tls.crt", self._now())

    def due(self, name: str) -> bool:
        """Whether `name` needs a new one: it has none, or a third of its life is left, or it is another authority's."""
        file = self._directory / name / "tls.crt"
        if not file.exists():
            return True
        shown = show(file, self._now())
        return bool(shown.problem) or shown.third_left(self._now())

    def hosts(self, name: str) -> tuple[str, ...]:
        """Where the one that `name` has may serve."""
        file = self._directory / name / "tls.crt"
        return show(file, self._now()).names if file.exists() else ()

    def issued(self) -> list[str]:
        """Those who have one."""
        return sorted(each.parent.name for each in self._directory.glob("*/tls.crt"))


def owner_of(name: str) -> str:
    """The service that `name` is, or is a replica of.

    Raises:
        CertificateError: there is no such service.
    """
    if re.fullmatch(r"subscriber\.[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}", name):
        return name  # a reader of one tenant's events, whom no service lets in
    stem, _, number = name.rpartition("-")
    service = stem if number.isdigit() and stem else name
    if service not in SERVICES + OTHERS:
        known = ", ".join(SERVICES + OTHERS)
        raise CertificateError(
            f"there is no service {name!r}: it is one of {known}, a replica as nats-1, or subscriber.TENANT.READER"
        )
    return service


def create(directory: Path, days: float, now: datetime) -> Shown:
    """A new authority in `directory`.

    Raises:
        CertificateError: there is one already; it is never overwritten.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in (directory / "ca.key", directory / "ca.crt"):
        if file.exists():
            raise CertificateError(
                f"{file} is there already, and every certificate it issued would be worth nothing without it: "
                "take another directory"
            )
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"provost authority {x509.random_serial_number():x}"[:40])]
    )
    certificate = (
        _begun(name, name, key.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, SHA256())
    )
    put(directory / "ca.key", _pem_of(key))
    put(directory / "ca.crt", certificate.public_bytes(Encoding.PEM), mode=0o644)
    return show(directory / "ca.crt", now)


def show(file: Path, now: datetime) -> Shown:
    """What is in `file`, and what is wrong with it, beside the authority that lies beside it.

    Raises:
        CertificateError: it holds no certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
    except OSError as problem:
        raise CertificateError(f"{file} cannot be read: {problem.strerror}") from None
    except ValueError:
        raise CertificateError(f"{file} holds no certificate in PEM") from None
    uris, hosts = _names(certificate)
    ours = [each.removeprefix(SPIFFE) for each in uris if each.startswith(SPIFFE)]
    return Shown(
        name=ours[0] if ours else certificate.subject.rfc4514_string(),
        file=file,
        names=tuple(hosts),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        serial=certificate.serial_number,
        problem=_problem(certificate, file.parent / "ca.crt", now),
    )


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` into `path`: readers see the old or the new, also after a crash."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _problem(certificate: x509.Certificate, authority: Path, now: datetime) -> str:
    if now > certificate.not_valid_after_utc:
        return f"expired at {_when(certificate.not_valid_after_utc)}"
    if now < certificate.not_valid_before_utc:
        return f"not valid before {_when(certificate.not_valid_before_utc)}"
    try:
        issuers = x509.load_pem_x509_certificates(authority.read_bytes())
    except (OSError, ValueError):
        return f"{authority} holds no authority"
    for each in issuers:
        try:
            certificate.verify_directly_issued_by(each)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return ""
    return f"not issued by the authority in {authority}"


def _begun(
    name: x509.Name | str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    subject = (
        name if isinstance(name, x509.Name) else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(BACKDATED, (ends - now) / 20))
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise CertificateError(f"{name!r} is neither an address nor a name in DNS") from None


def _names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return names.get_values_for_type(x509.UniformResourceIdentifier), [*hosts, *addresses]


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
