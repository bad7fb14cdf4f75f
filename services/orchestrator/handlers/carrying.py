"""A run while it is carried: what is kept between steps, how long things may take, and what may end it."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from kernel.events import Cause, derived_id
from kernel.faults import Fault
from services.orchestrator.domain.budget import Trouble
from services.orchestrator.domain.records import Decision, ErrorCounts
from services.orchestrator.handlers.sharing import Key

ACTOR = "service:orchestrator"


class RequiredArtifactMissing(Exception):
    """After EXECUTE an artifact is missing that the packet demands."""


class AgentNotTaken(Exception):
    """The agent cannot be had, for the reason that `fault` gives. That is no error of the agent's."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


@dataclass(slots=True)
class Carried:
    """One run being carried: what is worth keeping between steps, and nothing that a crash may not forget."""

    tenant: str
    run_id: str
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    counts: ErrorCounts = field(default_factory=ErrorCounts)
    permits: dict[str, Decision] = field(default_factory=dict)
    """By action. Another dict as soon as policy may see it otherwise: what it said before counts no more."""
    given_back: set[str] = field(default_factory=set)
    """Reservations."""
    log_text: str | None = None
    known_sequence: int = 0
    tries: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from when nothing is done for the run any more but to record its end."""
    absent_seconds: float = 0.0
    """How long it has waited for an agent that is attached nowhere; asked for again, it does not wait anew."""
    led_by: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    """Those that no event tells of: what its agent answered, or did not."""
    counted: set[str] = field(default_factory=set)
    """The keys of troubles."""
    refused: Fault | None = None
    """Why nothing can be written, when that is for people to mend: whoever waits for the run is told at once."""

    @property
    def ending(self) -> bool:
        return self.ended.is_set()

    def cause(self, at: datetime, *step: str) -> Cause:
        """Why a step of this run asks for something; the same step gives the same request id.

        What led to it is the run's last event, `led_by`.
        """
        return Cause(
            tenant=self.tenant,
            request_id=derived_id(self.run_id, *step),
            actor=ACTOR,
            at=at,
            correlation_id=self.run_id,
            causation_id=self.led_by,
        )


InHand = dict[Key, tuple[Carried, asyncio.Task[None]]]
"""The runs that are carried here, each with the task that does it."""


@dataclass(frozen=True, slots=True)
class StepLimits:
    lease_seconds: int = 60
    think_seconds: float = 300.0
    crew_seconds: float = 30.0
    """How long a run waits for a crew of which nobody is there, or to begin with an agent that is not."""
    permit_margin_seconds: float = 5.0
    """A permit that expires sooner is asked for anew."""
    quick_seconds: float = 10.0
    """What takes longer elsewhere is told, so that nobody takes the agent for stuck."""
    effect_seconds: float = 180.0
    """What takes long is over by then."""
