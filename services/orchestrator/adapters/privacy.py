"""Sealing and opening what the orchestrator works with: which fields are personal is read from the contract.

What it has sealed or opened lately it holds in the clear beside the sealed form, so that a run that is carried is not
decrypted at every step; told that a key was erased, it lets go of all of that.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeVar

from chassis.personal import Personal
from kernel.ports import SubjectKeys
from provost.orchestrator.v1 import events_pb2 as events
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2
from services.orchestrator.domain import facts, records, wants
from services.orchestrator.domain.run import Run

T = TypeVar("T")
MOST_RUNS, MOST_PARTS = 64, 512
_COMMANDS: Final[dict[type, Personal]] = {
    wants.StartRun: Personal(wants.StartRun, events.RunStarted),
    wants.RecordPlan: Personal(wants.RecordPlan, events.PlanRecorded),
    wants.RecordDecisions: Personal(wants.RecordDecisions, events.ActionsDecided),
    wants.ObserveEffects: Personal(wants.ObserveEffects, events.EffectsObserved),
    wants.RecordVerification: Personal(wants.RecordVerification, events.RunVerified),
    wants.EndRun: Personal(wants.EndRun, events.RunEnded),
    records.Packet: Personal(records.Packet, state_pb2.Packet),
    records.Handoff: Personal(records.Handoff, state_pb2.Handoff),
}
_PARTS: Final[dict[type, Personal]] = {
    facts.RunStarted: Personal(facts.RunStarted, events.RunStarted),
    records.Incident: Personal(records.Incident, incident_pb2.Incident),
    records.PlannedAction: Personal(records.PlannedAction, incident_pb2.PlannedAction),
    records.ReasoningCycle: Personal(records.ReasoningCycle, incident_pb2.ReasoningCycle),
    records.Decision: Personal(records.Decision, policy_pb2.Decision),
    records.Effect: Personal(records.Effect, orchestrator_pb2.Effect),
    records.Check: Personal(records.Check, orchestrator_pb2.Check),
}
_Known = dict[int, tuple[Any, Any]]


class SubjectPrivacy:
    """Implements `ports.Privacy`."""

    def __init__(self, keys: SubjectKeys) -> None:
        self._keys = keys
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    async def key_of(self, tenant: str, subject: str) -> str:
        return (await self._keys.of_subject(tenant, subject)).key_id

    async def sealed(self, tenant: str, key_id: str, record: T) -> T:
        personal = _COMMANDS.get(type(record))
        if personal is None or not key_id or _says_erased(record):
            return record
        seal = await self._keys.of_key(tenant, key_id)
        # State compares a packet with the one before it: if nothing has changed, nothing is issued.
        change = seal.seal_same if isinstance(record, records.Packet) else seal.seal
        made = personal.changed(record, change)
        if isinstance(record, wants.RecordPlan) and isinstance(made, wants.RecordPlan):
            known = self._of(tenant, key_id)
            for part in ("incident", "plan", "cycles"):
                after = getattr(made, part)
                known[id(after)] = (after, getattr(record, part))
        return made

    async def opened(self, tenant: str, key_id: str, run: Run) -> Run:
        if not key_id:
            return run
        open_text = (await self._keys.of_key(tenant, key_id)).open
        known = self._of(tenant, key_id)

        def part(value: Any) -> Any:
            if not value:
                return value
            held = known.get(id(value))
            if held is None or held[0] is not value:
                held = known[id(value)] = (value, _opened(value, open_text))
            return held[1]

        return dataclasses.replace(
            run,
            started=part(run.started),
            incident=part(run.incident),
            plan=part(run.plan),
            cycles=part(run.cycles),
            decisions=part(run.decisions),
            effects=part(run.effects),
            told=part(run.told),
            checks=part(run.checks),
            outcome=open_text(run.outcome),
        )

    async def seal_text(self, tenant: str, key_id: str, text: str) -> str:
        return (await self._keys.of_key(tenant, key_id)).seal(text) if key_id else text

    async def seal_bytes(self, tenant: str, key_id: str, content: bytes) -> bytes:
        return (await self._keys.of_key(tenant, key_id)).seal_bytes(content) if key_id else content

    async def open_bytes(self, tenant: str, key_id: str, content: bytes) -> bytes:
        return (await self._keys.of_key(tenant, key_id)).open_bytes(content) if key_id else content

    async def journal_key(self, tenant: str, key_id: str, effect_id: str) -> bytes:
        return (await self._keys.of_key(tenant, key_id)).derived(f"journal/{effect_id}") if key_id else b""

    def forget(self, tenant: str, key_id: str) -> None:
        self._known.pop((tenant, key_id), None)

    def _of(self, tenant: str, key_id: str) -> _Known:
        known = self._known.setdefault((tenant, key_id), {})
        self._known.move_to_end((tenant, key_id))
        if len(known) > MOST_PARTS:  # many runs of one subject
            known.clear()
        while len(self._known) > MOST_RUNS:
            self._known.popitem(last=False)
        return known


def _opened(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, tuple):
        return tuple([_opened(each, change) for each in value])
    if isinstance(value, dict):
        return {key: _opened(each, change) for key, each in value.items()}
    return _PARTS[type(value)].changed(value, change)


def _says_erased(record: object) -> bool:
    """The end of a run whose subject was erased: nothing of it is personal, and there is no key to seal it."""
    return isinstance(record, wants.EndRun) and record.reason == "SUBJECT_ERASED"
