"""Labels: what kind of data a run has read. State says what sticks to whom; flow rules say where it may not go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunLabelled:
    """These have stuck to a run of the agent, beside those it had."""

    agent_id: str
    run_id: str
    labels: tuple[str, ...]
