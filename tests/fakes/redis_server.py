"""Redis 7 as Debian has it, with a password, and with TLS alone where it is asked for."""

import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.process import ServerProcess, free_port

PASSWORD = "redis-test"
PROGRAM = "/usr/bin/redis-server"


class RedisServer(ServerProcess):
    """redis-server from its package, keeping nothing."""

    def __init__(self, directory: Path, *, tls: bool = False) -> None:
        self._directory, self._tls, port = directory, tls, free_port()
        options = f"--bind 127.0.0.1 --requirepass {PASSWORD} --appendonly no"
        if tls:
            certificate, key = certify(directory)
            options += f" --port 0 --tls-port {port} --tls-auth-clients no"
            options += f" --tls-cert-file {certificate} --tls-key-file {key}"
        else:
            options += f" --port {port}"
        command = [PROGRAM, *options.split(), "--dir", str(directory), "--save", ""]
        super().__init__(command, port, directory / "redis.log", self._answers)

    @property
    def url(self) -> str:
        """With what a client needs to trust it."""
        if self._tls:
            return (
                f"rediss://:{PASSWORD}@127.0.0.1:{self.port}/0?ssl_ca_certs={self._directory / 'redis.crt'}"
            )
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def _answers(self) -> bool:
        tls = ["--tls", "--cacert", str(self._directory / "redis.crt")] if self._tls else []
        command = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *tls, "--no-auth-warning"]
        asked = subprocess.run(
            [*command, "-a", PASSWORD, "PING"], capture_output=True, text=True, timeout=10, check=False
        )
        return asked.stdout == "PONG\n"


def certify(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = directory / "redis.crt", directory / "redis.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate, secret
