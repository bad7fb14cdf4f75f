"""A log to be watched, and the requests it makes: written by the specification, not by our own client."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provost_sdk.cosignatures import read_witness_key
from services.ledger.witness.key import WitnessKey
from services.ledger.witness.store import Store, open_store
from services.ledger.witness.trust import Trusted
from services.ledger.witness.web import Web
from tests.unit.sdk.log import SmallLog

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def forked(log: SmallLog, at: int) -> SmallLog:
    """The same log, key and all, with another event at `at`."""
    other = SmallLog(len(log.hashes), log.origin)
    other._private, other._key_id, other.vkey = log._private, log._key_id, log.vkey
    other.hashes = [*log.hashes[:at], bytes(32), *log.hashes[at + 1 :]]
    return other


def request(old: int, path: Sequence[bytes], checkpoint: str) -> bytes:
    return "\n".join([f"old {old}", *(b64encode(each).decode() for each in path), "", checkpoint]).encode()


def grown(log: SmallLog, old: int, new: int) -> bytes:
    """What the log sends when it has grown from `old` to `new`."""
    path = log.growth(old, new) if 0 < old < new else []
    return request(old, path, log.checkpoint(new))


@dataclass
class Bench:
    """A witness without a port: what a server would hand to it is handed to it here."""

    home: Path
    trusts: str
    name: str = "witness.example/w1"
    at: datetime = AT
    seconds: float = 0.0
    web: Web = field(init=False)
    key: WitnessKey = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def memory(self) -> Path:
        return self.home / "witness" / "heads.db"

    @property
    def key_file(self) -> Path:
        return self.home / "keys" / "witness.key"

    def start(self) -> None:
        self.store = open_store(self.memory, self.key_file)
        self.key = WitnessKey(self.name, self.key_file)
        self.web = Web(self.key, Trusted(self.trusts), self.store, lambda: self.at, lambda: self.seconds)

    def restart(self) -> None:
        self.store.close()
        self.start()

    @property
    def trusted_key(self) -> Any:
        return read_witness_key(self.key.text)

    async def add(self, body: bytes, **more: Any) -> tuple[int, str]:
        status, _, text = await self.ask("POST", "/add-checkpoint", body, **more)
        return status, text

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, client: str = "10.0.0.1", pieces: int = 1 << 20
    ) -> tuple[int, str, str]:
        """Status, content type, text."""
        told: list[dict[str, Any]] = []
        parts = [body[at : at + pieces] for at in range(0, len(body), pieces)] or [b""]
        messages = [
            {"type": "http.request", "body": part, "more_body": n < len(parts) - 1}
            for n, part in enumerate(parts)
        ]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: dict[str, Any]) -> None:
            told.append(message)

        scope = {"type": "http", "method": method, "path": path, "client": (client, 1)}
        await self.web(scope, receive, send)
        start, end = told
        return start["status"], dict(start["headers"])[b"content-type"].decode(), end["body"].decode()

    async def heads(self) -> Any:
        return json.loads((await self.ask("GET", "/heads"))[2])
