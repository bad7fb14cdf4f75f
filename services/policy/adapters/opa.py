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
PROBE_SECONDS = 1.0
AT_ONCE = 8
MOST_BYTES = 256 * 1024
PATH = "/v1/data/provost/decision"

_log = get_logger("policy.opa")


class OpaServer:
    """Implements `Opa` by OPA's REST API, over connections that are kept open."""

    def __init__(self, endpoint: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._deadline_seconds = deadline_seconds
        self._client: AsyncClient | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._problem = ""

    @property
    def set(self) -> bool:
        """Whether there is one."""
        return bool(self._endpoint)

    def why(self) -> str:
        """What is wrong with it; empty when nothing is."""
        return f"the OPA server at OPA_ENDPOINT: {self._problem}" if self._problem else ""

    async def judge(self, inputs: Sequence[Mapping[str, Any]]) -> Sequence[RuleOutcome]:
        """What it says to each of `inputs`. The first failure is that of all that were not asked yet."""
        failures: list[str] = []
        return await asyncio.gather(*(self._one(each, failures) for each in inputs))

    async def answers(self) -> bool:
        """Whether it is there, found out by asking its health; yes when there is none to ask."""
        if not self.set:
            return True
        client = self._http()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                response = await client.get(f"{self._endpoint}/health")
            problem = "" if response.status_code == 200 else f"its health is {response.status_code}"
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

    async def _one(self, value: Mapping[str, Any], failures: list[str]) -> RuleOutcome:
        async with self._places:
            if failures:
                return RuleOutcome(failed=failures[0])
            client = self._http()
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    response = await client.post(
                        self._endpoint + PATH,
                        content=json.dumps({"input": value}).encode("utf-8", "replace"),
                        headers={"content-type": "application/json"},
                    )
            except TimeoutError:
                failures.append(
                    f"the OPA server has not answered within {self._deadline_seconds * 1000:.0f} ms"
                )
            except (OSError, _error()) as failure:
                failures.append(f"the OPA server cannot be reached ({type(failure).__name__})")
            else:
                outcome = _outcome(response.status_code, response.content)
                if outcome.failed:
                    failures.append(outcome.failed)
                self._problem = outcome.failed
                return outcome
            self._problem = failures[0]
            return RuleOutcome(failed=failures[0])

    def _http(self) -> "AsyncClient":
        if self._client is None:
            from httpx2 import AsyncClient, Limits  # only where there is an OPA server to ask

            limits = Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
            self._client = AsyncClient(
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
    return tuple(sorted((_one_said(each) for each in messages), key=lambda said: (said.rule, said.text)))


def _one_said(message: Any) -> Said:
    match message:
        case str(text):
            return Said("opa", text[:500])
        case {"id": str(rule), "text": str(text)} if 0 < len(rule) <= 64:
            return Said(rule, text[:500])
    raise TypeError(message)
