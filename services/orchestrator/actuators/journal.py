"""What has been done: each effect's beginning and end on disk, so that nothing is done twice, even after kill -9.

An outcome is sealed under a key that comes with the effect, if one does, and is kept nowhere here.
"""

import base64
import hmac
import json
import os
import sqlite3
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.orchestrator.domain.records import Effect, EffectState

_TABLES = (
    "effect (id TEXT PRIMARY KEY, digest TEXT NOT NULL, outcome TEXT)",
    "decision (id TEXT PRIMARY KEY, effect TEXT NOT NULL)",
    "agent_fence (agent TEXT PRIMARY KEY, token INTEGER NOT NULL)",
)


class Journal:
    """One row per effect id. Every write is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        for table in _TABLES:
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} STRICT")

    def begin(self, effect_id: str, digest: str) -> None:
        """Note that an effect begins, if it has not begun before."""
        self._db.execute("INSERT OR IGNORE INTO effect (id, digest) VALUES (?, ?)", (effect_id, digest))

    def read(self, effect_id: str, key: bytes = b"") -> tuple[bool, Effect | None]:
        """Whether an effect has begun, and what came of it if that is known."""
        row = self._db.execute("SELECT outcome FROM effect WHERE id = ?", (effect_id,)).fetchone()
        return row is not None, _effect(_opened(row[0], effect_id, key)) if row and row[0] else None

    def begun_as(self, effect_id: str, digest: str) -> bool:
        """Whether it has not begun, or has for exactly the action of this digest."""
        row = self._db.execute("SELECT digest FROM effect WHERE id = ?", (effect_id,)).fetchone()
        return row is None or bool(row[0] == digest)

    def spend(self, decision_id: str, effect_id: str) -> bool:
        """Bind a decision to the one effect it is good for; False if it was spent on another."""
        self._db.execute(
            "INSERT OR IGNORE INTO decision (id, effect) VALUES (?, ?)", (decision_id, effect_id)
        )
        spent = self._db.execute("SELECT effect FROM decision WHERE id = ?", (decision_id,)).fetchone()[0]
        return bool(spent == effect_id)

    def finish(self, effect: Effect, key: bytes = b"") -> None:
        """Note how it ended."""
        outcome = _sealed(json.dumps(asdict(effect)), effect.effect_id, key)
        self._db.execute("UPDATE effect SET outcome = ? WHERE id = ?", (outcome, effect.effect_id))

    def newest_fence(self, agent: str) -> int:
        """The highest fencing token under which something was done for an agent; 0: nothing was."""
        found = self._db.execute("SELECT token FROM agent_fence WHERE agent = ?", (agent,)).fetchone()
        return int(found[0]) if found else 0

    def fence(self, agent: str, token: int) -> None:
        """Something is done under `token`: lower ones are stale from now on."""
        self._db.execute(
            "INSERT INTO agent_fence (agent, token) VALUES (?, ?) "
            "ON CONFLICT (agent) DO UPDATE SET token = excluded.token WHERE excluded.token > token",
            (agent, token),
        )

    def close(self) -> None:
        self._db.close()


def keyed(digest: str, key: bytes) -> str:
    """What is noted in place of `digest`: with a key, nobody can try guesses at the action."""
    return hmac.digest(key, digest.encode(), "sha256").hex() if key else digest


def _sealed(outcome: str, effect_id: str, key: bytes) -> str:
    if not key:
        return outcome
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, outcome.encode(), effect_id.encode())).decode()


def _opened(outcome: str, effect_id: str, key: bytes) -> str:
    if not key or outcome.startswith("{"):
        return outcome
    sealed = base64.b64decode(outcome)
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], effect_id.encode()).decode()


def _effect(outcome: str) -> Effect:
    values = json.loads(outcome)
    return Effect(**{**values, "state": EffectState(values["state"])})
