"""`python -m chassis.healthy [SERVICE]`: is the process in this container well? Exit code 0 when it serves; one line.

Without a name it is the one that process 1 runs. A container is looked at every few seconds, so nothing is imported
that takes long: gRPC's own client costs half a second of a processor each time, this costs a twentieth. What is
spoken is gRPC over HTTP/2 (grpc.health.v1), one call: RFC 9113 for the frames, RFC 7541 for the header fields.
"""

import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SECONDS = 3.0
PORTS: Mapping[str, int] = {
    "gateway": 7000,
    "policy": 7001,
    "state": 7002,
    "ledger": 7003,
    "orchestrator": 7004,
    "actuators": 7005,
    "witness": 7006,
    "agents": 7007,
}
_SAID = ("it says nothing of itself", "serving", "not serving", "it does not know its own service")
_WHY = b"provost-why"
_DATA, _HEADERS, _RESET, _GOODBYE = 0, 1, 3, 7
_END_STREAM, _END_HEADERS = 1, 4


class Unwell(Exception):
    """The text says what is wrong."""


def of_process(command: bytes) -> str:
    """The service that a command line of `/proc` (NUL between words) runs: `python -m services.policy`.

    Raises:
        Unwell: it runs none.
    """
    found = re.search(rb"\0-m\0services\.([a-z.]+)", command)
    service = found.group(1).decode().rpartition(".")[2] if found else ""
    if service not in PORTS:
        raise Unwell(f"process 1 is no service of Provost: say which one, of {', '.join(PORTS)}")
    return service


def look(service: str, environment: Mapping[str, str]) -> None:
    """Nothing when `service`, on this machine, serves.

    Raises:
        Unwell: it does not, or does not answer.
    """
    port = int(environment.get(f"PROVOST_{service.upper()}_PORT") or PORTS[service])
    host = environment.get("PROVOST_LISTEN_HOST") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    try:
        with _connected(host, port, _tls(service, environment)) as connection:
            (_ask_http if service == "witness" else _ask_grpc)(connection)
    except (OSError, EOFError) as problem:
        raise Unwell(f"{service} does not answer on {host}:{port}: {problem}") from None


def _tls(service: str, environment: Mapping[str, str]) -> ssl.SSLContext | None:
    prefix = "PROVOST_GATEWAY_TLS" if service == "gateway" else "PROVOST_TLS"
    certificate, key = (environment.get(f"{prefix}_{each}_FILE", "") for each in ("CERT", "KEY"))
    if service == "witness" or not (certificate and key):
        return None
    # What is asked is on this machine and says nothing but whether it is well: whose certificate it shows is looked at
    # by those who tell it something.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if service != "gateway":
        home = Path(environment.get("PROVOST_HOME") or ".provost")
        own_certificate, own_key = (home / each.format(service=service) for each in (certificate, key))
        context.load_cert_chain(own_certificate, own_key)
    return context


def _connected(host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection((host, port), SECONDS)
    return tls.wrap_socket(connection, server_hostname=host) if tls else connection


def _ask_http(connection: socket.socket) -> None:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    first = connection.makefile("rb").readline().decode("ascii", "replace").strip()
    if " 200 " not in f"{first} ":
        raise Unwell(f"it answers {first!r}")


def _ask_grpc(connection: socket.socket) -> None:
    scheme = b"\x87" if isinstance(connection, ssl.SSLSocket) else b"\x86"
    # Indexed: `:method: POST` and the scheme; the others are literal, `:path` (4), `:authority` (1) and
    # `content-type` (31) by the index of their name (RFC 7541, section 6.2.2 and appendix A).
    headers = (
        b"\x83" + scheme + b"\x04" + _text(b"/grpc.health.v1.Health/Check") + b"\x01" + _text(b"localhost")
    )
    headers += b"\x0f\x10" + _text(b"application/grpc") + b"\x00" + _text(b"te") + _text(b"trailers")
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(4, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, bytes(5))  # an empty message: the server as a whole is asked about
    )
    body, trailers = b"", b""
    for kind, flags, stream, payload in _frames(connection):
        if kind == _GOODBYE or (kind == _RESET and stream == 1):
            raise Unwell("it ends the call: it is stopping, or speaks TLS otherwise than this was told")
        if stream == 1 and kind == _DATA:
            body += payload
        elif stream == 1 and kind == _HEADERS:
            trailers = payload
        if stream == 1 and flags & _END_STREAM and kind in (_DATA, _HEADERS):
            break
    status = body[6] if len(body) == 7 and body[5] == 8 else 0  # field 1, a varint
    if status != 1:
        why = _why(trailers)
        raise Unwell(_SAID[status if status < len(_SAID) else 0] + (f": {why}" if why else ""))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of what comes."""
    with connection.makefile("rb") as incoming:
        while len(head := incoming.read(9)) == 9:
            length, stream = int.from_bytes(head[:3], "big"), int.from_bytes(head[5:], "big")
            yield head[3], head[4], stream & 0x7FFF_FFFF, incoming.read(length)
    raise EOFError("the connection was closed")


def _text(text: bytes) -> bytes:
    """A string literal of less than 127 bytes, as it is."""
    return bytes((len(text),)) + text


def _why(trailers: bytes) -> str:
    """What the service says is wrong with it (`chassis.rpc.waiting`); gRPC sends it without Huffman's code."""
    _, found, rest = trailers.partition(_text(_WHY))
    if not found or not rest or rest[0] & 0x80:
        return ""
    length, at = rest[0], 1
    if length == 0x7F:  # RFC 7541, section 5.1: the rest follows, seven bits at a time
        shift = 0
        while True:
            length += (rest[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not rest[at - 1] & 0x80:
                break
    return rest[at : at + length].decode("ascii", "replace")


def main(arguments: list[str]) -> int:
    """Exit code 0: it serves; 1: it does not, or nobody can say."""
    try:
        service = arguments[0] if arguments else of_process(b"\0" + Path("/proc/1/cmdline").read_bytes())
        if service not in PORTS:
            raise Unwell(f"there is no service {service!r}, only {', '.join(PORTS)}")
        look(service, os.environ)
    except Unwell as trouble:
        print(trouble)  # noqa: T201 - what the engine keeps of a health check
        return 1
    print(f"{service} serves")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
