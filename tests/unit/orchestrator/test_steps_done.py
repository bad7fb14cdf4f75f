"""What policy is told a run has been through."""

from dataclasses import replace

import pytest

from services.orchestrator.domain.lifecycle import steps_done
from services.orchestrator.domain.phases import Phase
from services.orchestrator.domain.run import Run


@pytest.mark.parametrize(
    ("phase", "planned", "done"),
    [
        (None, False, ""),
        (Phase.BOOTSTRAP, False, ""),
        (Phase.PLAN, False, "BOOTSTRAP PREFLIGHT"),
        (Phase.PLAN, True, "BOOTSTRAP PREFLIGHT PLAN"),
        (Phase.EXECUTE, True, "BOOTSTRAP PREFLIGHT PLAN"),
        (Phase.VERIFY, True, "BOOTSTRAP PREFLIGHT PLAN EXECUTE"),
    ],
)
def test_a_step_is_done_when_it_is_behind_the_run(phase: Phase | None, planned: bool, done: str) -> None:
    run = replace(Run(), phase=phase, plan=() if planned else None)
    assert " ".join(steps_done(run)) == done
