"""TLS for gRPC, whose handshakes are not Python's: what a server and a channel show, renewed while they run."""

import grpc
from cryptography import x509

from chassis.tls.certificates import Certificates, Material


def server_credentials(certificates: Certificates, *, clients: bool = True) -> grpc.ServerCredentials:
    """What a server shows, looked at anew at each handshake; with `clients`, callers must show a certificate, too.

    Raises:
        CertificateTrouble: there is no certificate to show.
    """
    given = certificates.current()

    def renewed() -> grpc.ServerCertificateConfiguration:
        nonlocal given
        material = certificates.current()
        if material is given:
            return None  # type: ignore[return-value]  # "no change", which the stubs do not know
        given = material
        return _configuration(material, clients=clients)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given, clients=clients), renewed, require_client_authentication=clients
    )


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """What a channel shows as long as it lives. Without an authority it shows nothing, and believes itself alone."""
    if not material.authority:
        return grpc.ssl_channel_credentials(material.certificate)
    return grpc.ssl_channel_credentials(material.authority, material.key, material.certificate)


def first_name(material: Material) -> str:
    """A DNS name that the certificate is for; the service's where there is none."""
    leaf = x509.load_pem_x509_certificate(material.certificate)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return material.service
    return next(iter(names.get_values_for_type(x509.DNSName)), material.service)


def _configuration(material: Material, *, clients: bool) -> grpc.ServerCertificateConfiguration:
    shown = [(material.key, material.certificate)]
    return grpc.ssl_server_certificate_configuration(shown, material.authority if clients else None)
