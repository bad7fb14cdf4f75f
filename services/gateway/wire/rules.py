"""Policy sets, simulations, explanations and budgets."""

from provost.policy.v1 import policy_pb2 as pb
from services.gateway.domain.records import Page
from services.gateway.domain.rules import (
    AskWhy,
    Difference,
    Explained,
    Flip,
    Looked,
    Needed,
    SetInForce,
    SetListed,
    SetProblem,
    SetsCompared,
    SetTest,
    SetValidated,
    Simulate,
    Simulated,
    Totals,
)
from services.gateway.domain.standing import Budget, BudgetLine, SetBudget
from services.gateway.wire.values import name_of, stamp_of, time_of


def listed_from_wire(each: pb.ListPolicySetsResponse.PublishedSet) -> SetListed:
    return SetListed(
        each.version, each.by, time_of(each, "at"), each.sequence, each.in_force, each.rolled_back_to, each.why,
        each.sha256,
    )  # fmt: skip


def validated_from_wire(answer: pb.ValidatePolicySetResponse) -> SetValidated:
    tests = tuple(SetTest(each.name, each.passed, each.text, each.line) for each in answer.tests)
    return SetValidated(
        ok=not answer.problems and all(each.passed for each in tests),
        version=answer.version,
        problems=tuple(map(_problem, answer.problems)),
        warnings=tuple(map(_problem, answer.warnings)),
        tests=tests,
    )


def in_force_from_wire(answer: pb.PublishPolicySetResponse) -> SetInForce:
    return SetInForce(answer.version, answer.sequence, tuple(map(_problem, answer.warnings)))


def _problem(each: pb.ValidatePolicySetResponse.Problem) -> SetProblem:
    return SetProblem(each.line, each.column, each.path, each.text)


def compared_from_wire(answer: pb.DiffPolicySetsResponse) -> SetsCompared:
    return SetsCompared(
        answer.old_version,
        answer.new_version,
        tuple(
            Difference(
                each.kind, name_of(pb.Tier, each.tier, "TIER_"), each.environment, each.action, each.before,
                each.after, each.wider,
            )
            for each in answer.differences
        ),
    )  # fmt: skip


def why_to_wire(ask: AskWhy) -> pb.ExplainRequest:
    return pb.ExplainRequest(
        context=pb.RunContext(
            run_id=ask.run_id,
            task_id=ask.task_id,
            agent_id=ask.agent_id,
            mode=pb.Mode.Value(f"MODE_{ask.mode.upper()}"),
            steps_done=ask.steps_done,
        ),
        action=pb.Action(
            action_id="a1",
            name=ask.action,
            target=ask.target,
            environment=ask.environment,
            parameters=dict(ask.parameters),
        ),
        tier=pb.Tier.Value(f"TIER_{ask.tier or 'UNSPECIFIED'}"),
        policy_version=ask.version,
    )


def explained_from_wire(answer: pb.ExplainResponse) -> Explained:
    said = answer.decision
    return Explained(
        decision=name_of(pb.Verdict, said.verdict, "VERDICT_"),
        rule=said.rule,
        reason=said.reason,
        explanation=said.explanation,
        tier=name_of(pb.Tier, said.tier, "TIER_"),
        policy_version=said.policy_version,
        obligations=tuple(said.obligations),
        changes=tuple(Needed(each.what, each.to, each.by) for each in said.changes),
        checks=tuple(Looked(each.rule, each.passed, each.text) for each in answer.checks),
    )


def simulate_to_wire(ask: Simulate) -> pb.SimulatePolicySetRequest:
    return pb.SimulatePolicySetRequest(
        document=ask.document,
        version=ask.version,
        from_time=stamp_of(ask.from_time),
        to_time=stamp_of(ask.to_time),
        agent_id=ask.agent_id,
        max_flips=ask.max_flips,
    )


def simulated_from_wire(answer: pb.SimulatePolicySetResponse) -> Simulated:
    totals = answer.totals
    return Simulated(
        tuple(map(_flip, answer.flips)),
        Totals(
            totals.decisions,
            totals.flips,
            dict(totals.by_change),
            dict(totals.by_agent),
            dict(totals.by_action),
            dict(totals.left_out),
            totals.position,
            totals.seconds,
            totals.decided,
        ),
        answer.done,
    )


def _flip(each: pb.SimulatePolicySetResponse.Flip) -> Flip:
    action = each.action
    return Flip(
        decision_id=each.decision_id,
        agent_id=each.agent_id,
        run_id=each.run_id,
        action=action.name,
        target=action.target,
        environment=action.environment,
        parameters=dict(action.parameters),
        at=time_of(each, "at"),
        before=name_of(pb.Verdict, each.before, "VERDICT_"),
        before_reason=each.before_reason,
        after=name_of(pb.Verdict, each.after, "VERDICT_"),
        after_reason=each.after_reason,
        after_rule=each.after_rule,
        explanation=each.explanation,
    )


def budgets_to_wire(run_id: str, agent_id: str, task_id: str, page: Page) -> pb.ListBudgetsRequest:
    return pb.ListBudgetsRequest(
        run_id=run_id, agent_id=agent_id, task_id=task_id, page_size=page.size, page_token=page.token
    )


def budget_to_wire(ask: SetBudget) -> pb.SetBudgetRequest:
    return pb.SetBudgetRequest(
        request_id=ask.request_id,
        scope=pb.BudgetScope.Value(f"BUDGET_SCOPE_{ask.scope.upper()}"),
        scope_id=ask.scope_id,
        limits=[
            pb.Limit(unit=pb.Unit.Value(f"UNIT_{unit.upper()}"), most=most)
            for unit, most in ask.limits.items()
        ],
        window_seconds=ask.window_seconds,
        why=ask.why,
    )


def budget_from_wire(budget: pb.Budget) -> Budget:
    lines = (
        BudgetLine(name_of(pb.Unit, each.unit, "UNIT_").lower(), each.most, each.spent, each.reserved)
        for each in budget.lines
    )
    return Budget(
        budget.budget_id,
        name_of(pb.BudgetScope, budget.scope, "BUDGET_SCOPE_").lower(),
        budget.scope_id,
        tuple(lines),
        budget.window_seconds,
        time_of(budget, "window_start_time"),
    )
