"""Previews and performs: finds the actuator, checks the permit, keeps the journal."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from kernel.faults import Denied, Invalid, Unauthenticated, Unavailable
from services.orchestrator.actuators.actuator import Actuator, ActuatorFailed, require_fit
from services.orchestrator.actuators.journal import Journal, keyed
from services.orchestrator.domain.budget import countable
from services.orchestrator.domain.records import Action, Effect, EffectState

MAX_OUTPUT_CHARACTERS = 8192
TAKING_STALE_SECONDS = 1.0
WORKING_STALE_SECONDS = 5.0
"""So long no revocation may have come here; then no permit is taken, and then what is being done is stopped."""
HIGHEST_TOKEN = 2**63 - 1  # tokens are sequences of the log; what is above them, the journal could not keep


@dataclass(frozen=True, slots=True)
class Permit:
    """What policy has signed: this action, in this run, under this lock."""

    decision_id: str
    action_digest: str
    tenant: str
    run_id: str
    task_id: str
    agent_id: str
    fencing_token: int


class Permits(Protocol):
    """Reads permits."""

    async def read(self, permit: str) -> Permit:
        """Raises Unauthenticated: PERMIT_INVALID or PERMIT_EXPIRED."""
        ...


class Digest(Protocol):
    """`sha256:<hex>` of what exactly is to be done; the permit must bear the same."""

    def __call__(self, name: str, target: str, environment: str, parameters: Mapping[str, str]) -> str: ...


class Hands:
    """All that can be done here."""

    def __init__(
        self,
        actuators: Iterable[Actuator],
        permits: Permits,
        journal: Journal,
        digest: Digest,
        monotonic: Callable[[], float],
        stale_seconds: Callable[[], float],
    ) -> None:
        self.actuators: Mapping[str, Actuator] = {each.offer.action: each for each in actuators}
        self._permits = permits
        self._journal = journal
        self._digest = digest
        self._monotonic = monotonic
        self._stale_seconds = stale_seconds
        self._at_work: dict[str, asyncio.Task[Effect]] = {}
        self._for: dict[str, tuple[str, str]] = {}
        self._revoked: set[tuple[str, str]] = set()

    def preview(self, action: Action) -> Effect:
        """What the action would do. Touches nothing.

        Raises:
            Invalid: ACTION_UNKNOWN or PARAMETER_INVALID.
        """
        actuator = self._fit(action)
        return Effect("", action.action_id, EffectState.PREVIEWED, f"would {_verb(actuator.preview(action))}")

    async def outcome(self, effect_id: str, action: Action, journal_key: bytes = b"") -> Effect:
        """What came of an effect that began, as soon as it ends. Nothing is done, so that it takes no permit.

        Raises:
            Unauthenticated: PERMIT_INVALID; it has not begun, or what only looks was cut off and may look again.
            Invalid: ACTION_UNKNOWN, PARAMETER_INVALID.
        """
        actuator = self._fit(action)
        noted = keyed(self._digest_of(action), journal_key)
        if self._journal.begun_as(effect_id, noted):
            working = self._at_work.get(effect_id)
            if working is not None:
                return await asyncio.shield(working)
            known = self._known(actuator, effect_id, action, journal_key)
            if known is not None:
                return known
        raise Unauthenticated(
            "PERMIT_INVALID", "without a permit nothing is done, and there is no outcome to tell"
        )

    async def perform(
        self, tenant: str, effect_id: str, action: Action, permit: str, journal_key: bytes = b""
    ) -> Effect:
        """Do it, once per effect id; sent again while it is being done, both get the one outcome.

        With a `journal_key`, what the journal keeps of it can be read with the same one alone.

        Raises:
            Unauthenticated: PERMIT_INVALID, PERMIT_EXPIRED. Denied: PERMIT_MISMATCH, FENCING_TOKEN_STALE,
            AGENT_REVOKED. Invalid: ACTION_UNKNOWN, PARAMETER_INVALID. Unavailable (`DECIDER_STALE`): the agent may be
            revoked, and nobody here knows.
        """
        actuator = self._fit(action)
        read = await self._permits.read(permit)
        if self._stale_seconds() > TAKING_STALE_SECONDS:
            raise _stale()
        digest = self._digest_of(action)
        if read.tenant != tenant or read.action_digest != digest:
            raise Denied("PERMIT_MISMATCH", "the permit is for another action; ask policy about this one")
        if (read.tenant, read.agent_id) in self._revoked:
            raise Denied("AGENT_REVOKED", f"agent {read.agent_id} was revoked", agent_id=read.agent_id)
        noted = keyed(digest, journal_key)
        if not 0 <= read.fencing_token <= HIGHEST_TOKEN:
            raise Unauthenticated("PERMIT_INVALID", "the permit was refused: its fencing token is no lock's")
        newest = self._journal.newest_fence(agent := f"{tenant}/{read.agent_id}")
        if read.fencing_token < newest:
            raise Denied(
                "FENCING_TOKEN_STALE",
                f"the lock this permit was given under is gone (token {read.fencing_token}, now {newest})",
            )
        if not self._journal.spend(read.decision_id, effect_id):
            raise Denied("PERMIT_MISMATCH", "this permit was used for another effect; ask policy again")
        if not self._journal.begun_as(effect_id, noted):
            raise Denied(
                "PERMIT_MISMATCH", "this effect was begun for another action; give the new one its own id"
            )
        # Only now: a token is its agent's own word, and one under which nothing is done must not shut out the rest.
        self._journal.fence(agent, read.fencing_token)
        working = self._at_work.get(effect_id)
        if working is None:
            working = asyncio.create_task(self._once(actuator, effect_id, action, noted, journal_key))
            self._at_work[effect_id] = working
            self._for[effect_id] = (read.tenant, read.agent_id)
            working.add_done_callback(lambda _: self._done(effect_id))
        return await asyncio.shield(working)

    def revoke(self, tenant: str, agent_id: str) -> None:
        """Take no more permits of this agent, whatever they say."""
        self._revoked.add((tenant, agent_id))

    async def end(self, tenant: str, agent_id: str) -> int:
        """Stop what is being done for an agent whose permits are taken no more; how many actions those were."""
        if (tenant, agent_id) not in self._revoked:
            raise RuntimeError(f"the revocation of {agent_id} has not been heeded")
        theirs = [self._at_work[each] for each, whose in self._for.items() if whose == (tenant, agent_id)]
        _stop(theirs)
        if theirs:
            await asyncio.wait(theirs)
        return len(theirs)

    def look(self) -> bool:
        """Whether revocations come here. When they have not for too long, all that is being done is stopped: whoever
        it is for may be revoked."""
        if self._stale_seconds() <= WORKING_STALE_SECONDS:
            return True
        _stop(self._at_work.values())
        return False

    def _done(self, effect_id: str) -> None:
        self._at_work.pop(effect_id, None)
        self._for.pop(effect_id, None)

    async def _once(
        self, actuator: Actuator, effect_id: str, action: Action, digest: str, journal_key: bytes
    ) -> Effect:
        known = self._known(actuator, effect_id, action, journal_key)
        if known is not None:
            return known
        self._journal.begin(effect_id, digest)
        effect = await self._act(actuator, effect_id, action)
        self._journal.finish(effect, journal_key)
        return effect

    def _known(self, actuator: Actuator, effect_id: str, action: Action, journal_key: bytes) -> Effect | None:
        """What came of it, if that is no question any more: None when it may be done, for the first time or again."""
        begun, outcome = self._journal.read(effect_id, journal_key)
        if outcome is not None or not begun or actuator.offer.read_only:
            return outcome
        summary = "it began and was cut off; look at the target before trying again"
        return Effect(
            effect_id, action.action_id, EffectState.UNKNOWN, summary, error_type="EFFECT_OUTCOME_UNKNOWN"
        )

    def _digest_of(self, action: Action) -> str:
        return self._digest(action.name, action.target, action.environment, action.parameters)

    async def _act(self, actuator: Actuator, effect_id: str, action: Action) -> Effect:
        began = self._monotonic()
        effect = Effect(effect_id, action.action_id, EffectState.SUCCEEDED, "")
        try:
            found = await actuator.perform(action)
            effect = replace(effect, summary=found.summary, output=_cut(found.output), changed=found.changed)
        except asyncio.CancelledError:
            revoked = self._for.get(effect_id) in self._revoked
            if not revoked and self._stale_seconds() <= WORKING_STALE_SECONDS:
                raise
            if not revoked and actuator.offer.read_only:
                raise _stale() from None  # nothing is noted of it: it may be done again
            # Stopped, with all that it had started. What had been done by then is not known.
            why = "its agent was revoked" if revoked else "revocations did not come here any more"
            effect = replace(
                effect,
                state=EffectState.FAILED if actuator.offer.read_only else EffectState.UNKNOWN,
                summary=actuator.preview(action),
                error_type="AGENT_REVOKED" if actuator.offer.read_only else "EFFECT_OUTCOME_UNKNOWN",
                error_message=f"stopped, because {why}",
            )
        except ActuatorFailed as failed:
            error_type, text = countable(failed.error_type, str(failed))
            effect = replace(
                effect,
                state=EffectState.FAILED,
                summary=actuator.preview(action),
                output=_cut(failed.output),
                error_type=error_type,
                error_message=text,
            )
        return replace(effect, duration_ms=int((self._monotonic() - began) * 1000))

    def _fit(self, action: Action) -> Actuator:
        actuator = self.actuators.get(action.name)
        if actuator is None:
            known = ", ".join(sorted(self.actuators))
            raise Invalid(
                "ACTION_UNKNOWN", f"nothing here can do {action.name[:100]!r}; what can be done: {known}"
            )
        require_fit(action, actuator.offer)
        return actuator


def _stop(working: Iterable[asyncio.Task[Effect]]) -> None:
    for each in working:
        if not each.cancelling():  # once more would cut short how it cleans up
            each.cancel()


def _stale() -> Unavailable:
    text = "the actuators do not know the newest revocations and do nothing until they do: try again"
    return Unavailable("DECIDER_STALE", text)


def _verb(preview: str) -> str:
    return preview if preview.startswith("read ") else f"run {preview}"


def _cut(output: str) -> str:
    inert = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in output)
    return inert if len(inert) <= MAX_OUTPUT_CHARACTERS else inert[: MAX_OUTPUT_CHARACTERS - 1] + "…"
