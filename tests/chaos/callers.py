"""Callers that do not give up: each asks for runs over REST, again with the same request id until it is answered."""

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2 as httpx

LOG = "\n".join(
    [
        *(f"Jan 10 10:00:{n:02d} web app[7]: request {n} served in {n} ms" for n in range(40)),
        "Jan 10 10:01:00 web kernel: Out of memory: Killed process 4242 (java) total-vm:8123456kB",
        "Jan 10 10:01:01 web systemd[1]: app.service: Main process exited, code=killed, status=9/KILL",
        "",
    ]
)


@dataclass
class Callers:
    """How many of them ask at once, and what they were answered."""

    base_url: str
    key: str
    at_once: int = 4
    prefix: str = ""
    """Before each request id, so that one caller's requests are not another's."""
    pause_seconds: float = 0.0
    """Of each caller between two runs: without one they take all of a small machine."""
    acknowledged: dict[str, int] = field(default_factory=dict)
    longest_gap_seconds: float = 0.0
    longest_wait_seconds: float = 0.0
    """Of one caller for one run, however often it had to ask."""
    unexpected: list[str] = field(default_factory=list)
    """Answers that no caller should get, whatever happens."""
    cut_off: list[str] = field(default_factory=list)
    """Requests that were sent and got no answer: asked again."""
    turned_away: list[str] = field(default_factory=list)
    """Requests that were answered 502, 503 or 504: asked again."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._done = asyncio.Event()
        self._news = asyncio.Event()
        self.last_answer = time.monotonic()

    async def ask(self) -> None:
        """Until told to finish; then every run that was begun is seen to its end."""
        async with httpx.AsyncClient(
            base_url=self.base_url, headers={"X-API-Key": self.key}, timeout=60
        ) as client:
            await asyncio.gather(*(self._one_after_the_other(client) for _ in range(self.at_once)))

    def finish(self) -> None:
        self._done.set()

    async def more(self, count: int, timeout_seconds: float) -> float:
        """Wait until `count` more runs have been answered; how long that took, seconds."""
        begun, wanted = time.monotonic(), len(self.acknowledged) + count
        async with asyncio.timeout(timeout_seconds):
            while len(self.acknowledged) < wanted:
                news = self._news
                await news.wait()
        return time.monotonic() - begun

    async def _one_after_the_other(self, client: httpx.AsyncClient) -> None:
        while not self._done.is_set():
            n, begun = next(self._numbers), time.monotonic()
            await (self._process(client, n) if n % 2 else self._start(client, n))
            self.longest_wait_seconds = max(self.longest_wait_seconds, time.monotonic() - begun)
            await asyncio.sleep(self.pause_seconds)

    async def _process(self, client: httpx.AsyncClient, n: int) -> None:
        body = {
            "log": LOG,
            "mode": "safe",
            "llm_config": {"strategy": "classic"},
            "request_id": f"{self.prefix}log-{n}",
        }
        await self._until_over(client, "POST", "/api/process_log", body)

    async def _start(self, client: httpx.AsyncClient, n: int) -> None:
        body = {
            "agent": f"sre-{n % 4 + 1}",
            "task": f"{self.prefix}task-{n}",
            "objective": "memory and disk",
            "mode": "auto",
            "request_id": f"{self.prefix}run-{n}",
        }
        await self._until_over(client, "POST", "/api/runs", body)

    async def _until_over(
        self, client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, object]
    ) -> None:
        while True:
            try:
                answer = await client.request(method, path, json=body)
            except httpx.ConnectError:
                await asyncio.sleep(0.05)  # nobody there: ask again
                continue
            except httpx.TransportError as error:
                self.cut_off.append(f"{method} {path}: {type(error).__name__} {error}")
                continue
            if answer.status_code == 202:
                method, path, body = "GET", f"/api/runs/{answer.json()['run_id']}?wait_seconds=20", {}
                continue
            if answer.status_code == 200:
                self._acknowledge(answer.json())
                return
            if answer.status_code not in (502, 503, 504):
                self.unexpected.append(f"{answer.status_code} {answer.text[:500]}")
                return
            self.turned_away.append(f"{answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(0.05)

    def _acknowledge(self, run: dict[str, object]) -> None:
        now = time.monotonic()
        self.longest_gap_seconds = max(self.longest_gap_seconds, now - self.last_answer)
        self.last_answer = now
        if run["state"] != "COMPLETED":
            self.unexpected.append(f"run {run['run_id']} is {run['state']}: {run['outcome']}")
        self.acknowledged[str(run["run_id"])] = int(str(run["sequence"]))
        news, self._news = self._news, asyncio.Event()
        news.set()
