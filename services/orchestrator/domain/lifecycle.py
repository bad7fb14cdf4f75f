"""What a run does next: the lifecycle BOOTSTRAP → … → EXIT as one function of what has happened (row B15).

A run that was killed needs no memory of its own: fold its events, ask `next_step`, go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kernel.events import derived_hex
from services.orchestrator.domain.phases import ORDER, Phase, RunState
from services.orchestrator.domain.records import Action, Decision, Mode, Verdict
from services.orchestrator.domain.run import Run, decide, evolve
from services.orchestrator.domain.wants import Result


@dataclass(frozen=True, slots=True)
class FindAgent:
    """Wait for one of the crew that is free."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Read revocations, load the packet, take the lock; then the run is in BOOTSTRAP, complete."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Look at scope and dependencies, then enter PLAN."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Heartbeat, renew the lock, check the budget, then be in this phase."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class AskAgent:
    """Give the task to the agent and keep what it proposes."""


@dataclass(frozen=True, slots=True)
class Authorize:
    """Ask policy about these actions; with the approvals people have answered, where there are any."""

    actions: tuple[Action, ...]
    approval_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RequestApprovals:
    """Ask people about each of these, then let go of the agent and wait."""

    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class AwaitAnswers:
    """Wait until every approval is answered or expired, then take the agent again."""

    approval_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Say what each would do. Touches nothing."""

    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Perform:
    """Do it: intent, effect, outcome."""

    effect_id: str
    action: Action


@dataclass(frozen=True, slots=True)
class Verify:
    """Look whether what was meant to be done was done."""


@dataclass(frozen=True, slots=True)
class Package:
    """Collect what the run leaves behind."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Be in EXIT, give the lock back and end."""


Step = (
    FindAgent
    | Bootstrap
    | Preflight
    | Enter
    | AskAgent
    | Authorize
    | RequestApprovals
    | AwaitAnswers
    | Preview
    | Perform
    | Verify
    | Package
    | Exit
)


def effect_id(run: Run, action_id: str) -> str:
    """The id of the one effect that an action of this run may have, however often it is tried."""
    return derived_hex(run.known.run_id, "effect", action_id)


def next_step(run: Run) -> Step | None:
    """What is to be done now; None when the run is over."""
    if run.over:
        return None
    if not run.agent_id:
        return FindAgent()
    match run.phase:
        case None:
            return Bootstrap()
        case Phase.BOOTSTRAP:
            return Enter(Phase.PREFLIGHT)
        case Phase.PREFLIGHT:
            return Preflight()
        case Phase.PLAN:
            return _plan(run)
        case Phase.EXECUTE:
            return _execute(run)
        case Phase.VERIFY:
            return Verify() if run.checks is None else Enter(Phase.PACKAGE)
        case Phase.PACKAGE:
            return Enter(Phase.REPORT) if run.report_sha256 else Package()
        case Phase.REPORT | Phase.EXIT:
            return Exit()


def completes(run: Run, result: Result) -> Phase | None:
    """The phase to enter together with `result`, when nothing else is left to do in this one."""
    event = decide(run, result)
    after = next_step(evolve(run, event)) if event is not None else None
    return after.phase if isinstance(after, Enter) else None


def steps_done(run: Run) -> tuple[Phase, ...]:
    """What the run has been through: the phases behind it, and PLAN once there is a plan."""
    if run.phase is None:
        return ()
    planned = run.phase is Phase.PLAN and run.plan is not None
    return ORDER[: ORDER.index(run.phase) + (1 if planned else 0)]


def _plan(run: Run) -> Step:
    if run.plan is None:
        return AskAgent()
    if run.plan and not run.decided:
        return Authorize(tuple(planned.action for planned in run.plan), {})
    return Enter(Phase.EXECUTE)


def _execute(run: Run) -> Step:
    if run.state is RunState.WAITING:
        return AwaitAnswers(tuple(run.approval_ids.values()))
    allowed = tuple(p.action for p in run.plan or () if verdict_of(run, p.action.action_id) is Verdict.ALLOW)
    if run.known.mode is Mode.SAFE:
        unseen = tuple(action for action in allowed if effect_id(run, action.action_id) not in run.effects)
        return Preview(unseen) if unseen else Enter(Phase.VERIFY)
    held = tuple(
        p.action for p in run.plan or () if verdict_of(run, p.action.action_id) is Verdict.NEEDS_APPROVAL
    )
    if held and not run.approval_ids:
        return RequestApprovals(held)
    if run.approval_ids and not run.approvals_settled:
        asked = tuple(p.action for p in run.plan or () if p.action.action_id in run.approval_ids)
        return Authorize(asked, run.approval_ids)
    for action in allowed:
        effect = effect_id(run, action.action_id)
        if effect not in run.effects:
            return Perform(effect, action)
    return Enter(Phase.VERIFY)


def verdict_of(run: Run, action_id: str) -> Verdict | None:
    """What policy last said of an action, None if it was not asked."""
    decision: Decision | None = run.decisions.get(action_id)
    return decision.verdict if decision else None
