"""Why a connection does not come about, in words for whoever has to mend it: gRPC says little, and of refusals nothing.

Looks for itself, with a handshake of its own.
"""

import asyncio
import ssl
from urllib.parse import urlsplit

from cryptography import x509

from chassis.tls.certificates import Certificates, service_of
from chassis.tls.contexts import client_context

LOOK_SECONDS = 1.0
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, 62
_NO_TLS = "WRONG_VERSION_NUMBER", "UNEXPECTED_EOF", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"


async def why_not(target: str, service: str, certificates: Certificates | None) -> str:
    """What keeps us from `service` at `target` (`host:port`, the first of several); empty when it is not about TLS."""
    host, port = _first(target)
    where = f"{service or 'the process'} at {host}:{port}"
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            if certificates is None:
                return await _without(host, port, where)
            return certificates.trouble() or await _with(host, port, where, service, certificates)
    except (OSError, TimeoutError):
        return ""  # nobody is there: that is another trouble


async def _without(host: str, port: int, where: str) -> str:
    await _shown(host, port)
    return f"{where} speaks TLS alone: PROVOST_TLS_CERT_FILE and the others are not set here"


async def _with(host: str, port: int, where: str, service: str, certificates: Certificates) -> str:
    context = client_context(certificates)
    assert context is not None
    context.set_alpn_protocols(["h2"])
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=service)
        try:
            # Whether our certificate is believed is only shown now: a server of HTTP/2 speaks first.
            await reader.readexactly(1)
        finally:
            writer.close()
    except ssl.SSLCertVerificationError as problem:
        shown = await _shown(host, port)
        return f"{where} {_wrong(problem.verify_code, shown, service, certificates)}"
    except ssl.SSLError as problem:
        if any(each in (problem.reason or "") for each in _NO_TLS):
            return f"{where} speaks no TLS: PROVOST_TLS_CERT_FILE and the others are not set there"
        ours, said = certificates.current(), (problem.reason or str(problem)).lower().replace("_", " ")
        until = f"{ours.not_after:%Y-%m-%dT%H:%M:%SZ}"
        return f"{where} refuses the certificate of {ours.service}, good until {until}: {said}"
    except (ConnectionResetError, asyncio.IncompleteReadError):
        ours = certificates.current()
        return f"{where} closes the connection as soon as it has seen the certificate of {ours.service}"
    return ""


def _wrong(code: int, shown: x509.Certificate | None, service: str, certificates: Certificates) -> str:
    if shown is None:
        return "shows no certificate"
    if code == _EXPIRED:
        return f"shows a certificate that expired at {shown.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    if code == _NOT_YET:
        return f"shows a certificate that is not valid before {shown.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    if code == _OTHER_NAME:
        return f"shows the certificate of {service_of(shown) or shown.subject.rfc4514_string()}, not of {service}"
    issuer = shown.issuer.rfc4514_string()
    return f"shows a certificate of {issuer}, an authority that is not in {certificates.files[-1]}"


async def _shown(host: str, port: int) -> x509.Certificate | None:
    """The certificate that is shown there, whatever it is. Raises OSError when there is no TLS."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE  # only looked at, and nothing is said to it
    blind.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host, port, ssl=blind)
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(raw) if raw else None


def _first(target: str) -> tuple[str, int]:
    parts = urlsplit("//" + target.removeprefix("dns:///").split(",", 1)[0])
    return parts.hostname or "127.0.0.1", parts.port or 443
