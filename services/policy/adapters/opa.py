"""An OPA server that is asked as well as the set's own rules. Whatever is not a clear answer in time is a failure."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chassis.telemetry import get_logger
from services.policy.domain.rules import RuleOutcome, Said

if TYPE_CHECKING:
    from httpx2 import AsyncClient

DEADLINE_SECONDS = 0.25
"""Of one question."""
ALL_SECONDS = 5.0
"""Of all that are asked together."""
PROBE_SECONDS = 1.0
AT_ONCE = 8
"""Of those that are asked together."""
CONNECTIONS, KEPT_CONNECTIONS = 256, 32
MOST_BYTES = 256 * 1024
PATH = "/v1/data/provost/decision"

_log = get_logger("policy.opa")


class OpaServer:
    """Implements `Opa` by OPA's REST API, over connections that are kept open."""

    def __init__(
        self, endpoint: str, deadline_seconds: float = DEADLINE_SECONDS, all_seconds: float = ALL_SECONDS
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._deadline_seconds = deadline_seconds
        self._all_seconds = all_seconds
        self._client: AsyncClient | None = None
        self._problem = ""

    @property
    def set(self) -> bool:
        """Whether there is one."""
        return bool(self._endpoint)

    def why(self) -> str:
        """What is wrong with it; empty when nothing is."""
        return f"the OPA server at OPA_ENDPOINT: {self._problem}" if self._problem else ""

    async def judge(self, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What it says to each of `inputs`. The first failure is that of all that were not asked yet.

        So many at once are of this call alone, and it ends in time: nobody waits for what somebody else asks.
        """
        self._http()  # made, the first time, before the deadline runs
        failures: list[str] = []
        places = asyncio.Semaphore(AT_ONCE)
        ends = asyncio.get_running_loop().time() + self._all_seconds

        async def one(value: Mapping[str, Any]) -> RuleOutcome:
            async with places:
                outcome = RuleOutcome(failed=failures[0]) if failures else await self._one(value, ends)
            if outcome.failed:
                failures.append(outcome.failed)
            return outcome

        return await asyncio.gather(*(one(each) for each in inputs))

    async def answers(self) -> bool:
        """Whether it is there, found out by asking its health; yes when there is none to ask."""
        if not self.set:
            return True
        self._http()  # as in `judge`
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                status, _ = await self._told("GET", "/health")
            problem = "" if status == 200 else f"its health is {status}"
        except (OSError, TimeoutError, _error()) as failure:
            problem = f"it does not answer ({type(failure).__name__})"
        if problem != self._problem:
            _log.warning("OPA server", problem=problem or "none: it answers")
            self._problem = problem
        return not problem

    async def stop(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _one(self, value: Mapping[str, Any], ends: float) -> RuleOutcome:
        begins = asyncio.get_running_loop().time()
        alone = begins + self._deadline_seconds
        try:
            async with asyncio.timeout_at(min(alone, ends)):
                outcome = _outcome(*await self._told("POST", PATH, json.dumps({"input": value}).encode()))
        except TimeoutError:
            if alone <= ends:
                failed = f"has not answered within {self._deadline_seconds * 1000:.0f} ms"
            else:
                failed = (
                    f"has not answered all that was asked at once within {self._all_seconds * 1000:.0f} ms"
                )
            outcome = RuleOutcome(failed=f"the OPA server {failed}")
        except (OSError, _error()) as failure:
            outcome = RuleOutcome(failed=f"the OPA server cannot be reached ({type(failure).__name__})")
        self._problem = outcome.failed
        return outcome

    async def _told(self, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
        """Status and body as they came, of the body no more than shows that it is too long."""
        body = bytearray()
        async with self._http().stream(method, self._endpoint + path, content=content) as response:
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    break
        return response.status_code, bytes(body)

    def _http(self) -> "AsyncClient":
        if self._client is None:
            from httpx2 import AsyncClient, Limits  # only where there is an OPA server to ask

            limits = Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEPT_CONNECTIONS)
            self._client = AsyncClient(
                headers={"content-type": "application/json", "accept-encoding": "identity"},
                timeout=max(PROBE_SECONDS, self._deadline_seconds),
                limits=limits,
                trust_env=False,
                follow_redirects=False,
            )
        return self._client


def _error() -> type[Exception]:
    from httpx2 import HTTPError

    return HTTPError


def _outcome(status: int, content: bytes) -> RuleOutcome:
    if status != 200:
        return RuleOutcome(failed=f"the OPA server has answered {status}")
    if len(content) > MOST_BYTES:
        return RuleOutcome(failed="the OPA server's answer is too long")
    try:
        result = json.loads(content)["result"]
        return RuleOutcome(_said(result["deny"]), _said(result["approve"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return RuleOutcome(
            failed="the OPA server's answer is no provost.decision, an object of deny and approve"
        )


def _said(messages: Any) -> tuple[Said, ...]:
    if not isinstance(messages, list):
        raise TypeError(messages)
    return tuple(sorted((Said.of(each, "opa") for each in messages), key=lambda said: (said.rule, said.text)))
