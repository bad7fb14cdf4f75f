"""A JetStream stream to a folder and back, in the form that `nats stream backup` and `restore` use.

The server sends the snapshot of one moment, in chunks that are acknowledged, and goes on taking messages meanwhile. The
protocol: nats-io/nats-server `server/jetstream_api.go` (`$JS.API.STREAM.SNAPSHOT`, `$JS.API.STREAM.RESTORE`).
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chassis import files
from chassis.eventlog.api import call
from chassis.eventlog.wire import AnswerLost, Connection, NotConnected

MANIFEST, CONTENT = "backup.json", "stream.tar.s2"
CHUNK_BYTES = 128 * 1024
SILENCE_SECONDS = 30.0
State = Mapping[str, Any]


class BackupTrouble(Exception):
    """It cannot be copied or put back; the text says why, and what to do."""


async def take(connection: Connection, stream: str, directory: Path) -> State:
    """Copy `stream` into `directory/stream`, whole or not at all; returns the stream's state at that moment.

    Raises:
        BackupTrouble: there is no such stream, the folder is there already, or NATS went away.
        Unavailable: NATS does not answer.
    """
    target = directory / stream
    if target.exists():
        raise BackupTrouble(f"{target} is there already: name another folder, or remove it")
    partial = files.private_directory(directory / f"{stream}.partial")
    try:
        told, digest = await _receive(connection, stream, partial / CONTENT)
        manifest = {"config": told["config"], "state": told["state"], "sha256": digest}
        files.replace(partial / MANIFEST, json.dumps(manifest, indent=2).encode())
        partial.rename(target)
    finally:
        for name in (MANIFEST, CONTENT):
            (partial / name).unlink(missing_ok=True)
        if partial.exists():
            partial.rmdir()
    state: State = told["state"]
    return state


async def restore(connection: Connection, stream: str, directory: Path) -> State:
    """Put the copy in `directory/stream` into a NATS that has no such stream; returns its state.

    Raises:
        BackupTrouble: the copy is not whole, NATS has such a stream, does not take it, or went away.
        Unavailable: NATS does not answer.
    """
    source = directory / stream
    try:
        manifest = json.loads((source / MANIFEST).read_bytes())
        with (source / CONTENT).open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except (OSError, ValueError) as problem:
        raise BackupTrouble(f"{source} holds no whole backup: {problem}") from problem
    if digest != manifest.get("sha256"):
        raise BackupTrouble(f"{source / CONTENT} is not what was written there: use another copy")
    if "error" not in await call(connection, f"STREAM.INFO.{stream}"):
        raise BackupTrouble(f"NATS has a stream {stream}: restore into one whose data was moved away")
    body = {"config": manifest["config"], "state": manifest["state"]}
    to = _checked(await call(connection, f"STREAM.RESTORE.{stream}", body))["deliver_subject"]
    with (source / CONTENT).open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            if answer := await _send(connection, to, chunk):
                _checked(json.loads(answer))
    state: State = _checked(json.loads(await _send(connection, to, b"")))["state"]
    return state


async def _receive(connection: Connection, stream: str, file: Path) -> tuple[Mapping[str, Any], str]:
    """What the server says of the snapshot, and the SHA-256 of what is in `file` then."""
    chunks: asyncio.Queue[tuple[bytes, bytes, bytes | None]] = asyncio.Queue()
    inbox, digest = connection.new_inbox(), hashlib.sha256()
    subscription = await connection.listen(inbox, lambda _, *chunk: chunks.put_nowait(chunk))
    try:
        body = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES, "jsck": True}
        begun = _checked(await call(connection, f"STREAM.SNAPSHOT.{stream}", body))
        with file.open("wb") as written:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    reply, payload, header = await chunks.get()
                if not payload:
                    break
                digest.update(payload)
                await asyncio.to_thread(written.write, payload)
                if reply:  # it waits for an answer every so often, and sends no more without
                    connection.write(reply.decode(), b"", b"", b"")
        if header and b" 204" not in header.partition(b"\r\n")[0]:
            raise BackupTrouble(f"NATS broke the copy off: {header.decode(errors='replace').strip()}")
    except (TimeoutError, NotConnected):
        raise BackupTrouble("NATS went away in the middle of the copy: take it again") from None
    finally:
        await connection.unlisten(subscription)
    return begun, digest.hexdigest()


async def _send(connection: Connection, subject: str, chunk: bytes) -> bytes:
    try:
        return (await connection.ask(subject, chunk, timeout_seconds=SILENCE_SECONDS))[1]
    except (NotConnected, AnswerLost) as problem:
        raise BackupTrouble(
            "NATS went away while it was given the stream: remove it there and begin anew"
        ) from problem


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise BackupTrouble(f"NATS refuses: {answer['error'].get('description', answer['error'])}")
    return answer
