"""The amnesia drill: the store and the ledger's database are wiped, come back from the event log, and must be equal.

Asks as any administrator does, through the command line: what it proves is what callers see. Knows services by name.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chassis import files, process
from chassis.config import ServiceSettings
from chassis.embedded.keys import Keys
from chassis.embedded.servers import store_url
from chassis.embedded.supervisor import StartFailed, Supervisor

WIPED = ("state", "ledger")
RESULT = "drill.json"
TRIES = 5
LOOK_SECONDS = 0.1

Say = Callable[[str], None]


class Drill:
    """One drill in the embedded run that `supervisor` keeps."""

    def __init__(
        self, supervisor: Supervisor, settings: ServiceSettings, keys: Keys, home: Path, say: Say
    ) -> None:
        self._supervisor = supervisor
        self._home = home
        self._say = say
        self._store_url = store_url(settings.store_port, keys.store)
        self._script = str(Path(sys.executable).with_name("provost"))
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "PROVOST_HOME": str(home),
            "PROVOST_ADDRESS": f"127.0.0.1:{settings.gateway_port}",
            "PROVOST_API_KEY": keys.api["admin"],
        }

    async def run(self) -> bool:
        """Whether all came back equal; told as it goes, and kept in `drill.json` for whoever asked for it."""
        told: list[str] = []

        def say(text: str) -> None:
            told.append(text)
            self._say(text)

        try:
            equal = await self._run(say)
        except (OSError, RuntimeError, StartFailed) as problem:
            say(f"The drill could not be finished: {problem}")
            equal = False
        files.replace(self._home / RESULT, json.dumps({"equal": equal, "told": told}).encode())
        return equal

    async def _run(self, say: Say) -> bool:
        if os.environ.get("PROVOST_LEDGER_DATABASE_URL"):
            raise RuntimeError(
                "the ledger is in PostgreSQL, whose tables this drill does not drop: provost ledger rebuild"
            )
        say("Amnesia drill: what is there before")
        before = await self._facts()
        say(f"  ledger  {before['size']} events, root {before['root']}")
        say(f"  store   {before['store']}, at event {before['at']}")
        begun = process.monotonic()
        for name in WIPED:
            await self._supervisor.hold(name)
        gone = await self._wipe()
        say(f"Wiped: {', '.join(gone)}")
        for name in reversed(WIPED):
            await self._supervisor.release(name)
        after = await self._facts()
        say(f"Rebuilt from the event log in {process.monotonic() - begun:.1f} s")
        say(f"  ledger  {after['size']} events, root {after['root']}")
        say(f"  store   {after['store']}, at event {after['at']}")
        return await self._judge(before, after, say)

    async def _judge(self, before: Mapping[str, Any], after: Mapping[str, Any], say: Say) -> bool:
        if after["size"] == before["size"]:
            same_root, how = after["root"] == before["root"], "the same root"
        else:
            same_root = await self._grown(before["checkpoint"], before["vkey"])
            how = f"a tree that begins with the {before['size']} events from before"
        same_store = bool(after["equal"])
        if after["at"] == before["at"]:
            same_store = same_store and after["store"] == before["store"]
        whole, _ = await self._ask("ledger", "verify")
        say(f"  {_mark(same_root)} ledger: {how}")
        say(f"  {_mark(same_store)} store: equal to what the log adds up to")
        say(f"  {_mark(whole == 0)} every row, tile, head and projection holds, against the log too")
        equal = same_root and same_store and whole == 0
        say("EQUAL: nothing was lost by it." if equal else "NOT EQUAL.")
        return equal

    async def _facts(self) -> dict[str, Any]:
        """Ledger and store as they are told; asked again while others write between the two questions."""
        for _ in range(TRIES):
            store = json.loads(await self._must("state", "verify", "--json"))
            head = json.loads(await self._must("ledger", "head", "--json"))
            if int(head["tree_head"]["tree_size"]) == int(store["at_sequence"]):
                break
        return {
            "size": int(head["tree_head"]["tree_size"]),
            "root": head["tree_head"]["root_hash"],
            "checkpoint": head["tree_head"]["checkpoint"],
            "vkey": head["verifier_key"],
            "store": store["store_hash"],
            "at": int(store["at_sequence"]),
            "equal": store["equal"],
        }

    async def _wipe(self) -> list[str]:
        from redis.asyncio import Redis  # a whole client, needed here alone

        given = Path(os.environ.get("PROVOST_LEDGER_DB") or "ledger/ledger.db")
        database = given if given.is_absolute() else self._home / given
        found = sorted(database.parent.glob(f"{database.name}*"))
        if not database.exists():
            raise RuntimeError(f"{database} is not there: there would be nothing to prove")
        for each in found:
            each.unlink()
        async with Redis.from_url(self._store_url) as store:
            keys = await store.dbsize()
            await store.flushall()
        return [*(each.name for each in found), f"the store ({keys} keys)"]

    async def _grown(self, old: str, vkey: str) -> bool:
        with tempfile.TemporaryDirectory(dir=self._home) as place:
            head, growth = Path(place) / "old", Path(place) / "growth"
            head.write_text(old)
            growth.write_text(await self._must("ledger", "prove-growth", str(head)))
            code, _ = await self._ask("ledger", "consistent", str(head), str(growth), "--key", vkey)
        return code == 0

    async def _must(self, *words: str) -> str:
        """What the command says, tried again while services come back."""
        for left in reversed(range(TRIES)):
            code, said = await self._ask(*words)
            if code == 0:
                return said
            if left:
                await self._ask("status", "--wait", "20")
        raise RuntimeError(f"provost {' '.join(words)}: {said.strip()}")

    async def _ask(self, *words: str) -> tuple[int, str]:
        child = await asyncio.create_subprocess_exec(
            self._script,
            *words,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        code = child.returncode or 0
        return code, (out if code == 0 else out + err).decode("utf-8", "replace")


def _mark(holds: bool) -> str:
    return "✓" if holds else "✗"


def ask_for_drill(home: Path) -> bool:
    """Ask the run that holds `home` for a drill, tell what it tells, and answer whether all came back equal.

    Raises:
        SystemExit: it ended before the drill did.
    """
    result = home / RESULT
    result.unlink(missing_ok=True)
    pid = int((home / "lock").read_text())
    try:
        os.kill(pid, signal.SIGUSR1)
        while not result.exists():
            os.kill(pid, 0)
            time.sleep(LOOK_SECONDS)
    except ProcessLookupError:
        raise SystemExit("The run ended before the drill did.") from None
    found = json.loads(result.read_text())
    print("\n".join(found["told"]))
    return bool(found["equal"])
