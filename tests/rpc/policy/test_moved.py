"""A decision takes time, most of all where others are asked: it is given under what holds by then, or not at all."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from kernel.faults import Unavailable
from provost.policy.v1 import policy_pb2 as pb
from services.policy.domain.rules import SILENCE, RuleOutcome
from services.policy.handlers.authorization import TRIES
from tests.rpc.policy.conftest import Running, action, context
from tests.rpc.policy.test_approvals import answered, requested
from tests.rpc.policy.test_budgets import budget, limit
from tests.rpc.policy.test_sets import default, publish

ADMIN: Any = {"actor": "key:root", "roles": ("admin",)}
Move = Callable[[Running], Awaitable[object]]


class SlowOpa:
    """Lets everything; while it thinks, things happen."""

    def __init__(self, running: Running, *moves: Move) -> None:
        self.asked, self._running, self._moves = 0, running, iter(moves)
        running.policy.authorization._judging._opa = self

    async def judge(self, inputs: Sequence[Any]) -> Sequence[RuleOutcome]:
        self.asked += 1
        move = next(self._moves, None)
        if move is not None:
            await move(self._running)
        return [SILENCE] * len(inputs)


def behind_the_commit(running: Running, *moves: Move) -> None:
    """These happen once a decision is written, and before it is answered."""
    left, authorization = iter(moves), running.policy.authorization
    for writes, name in ((authorization._record, "commit"), (authorization._budgets, "decide")):
        write: Any = getattr(writes, name)

        async def written(*asked: Any, write: Any = write) -> Any:
            answer = await write(*asked)
            move = next(left, None)
            if move is not None:
                await move(running)
            return answer

        setattr(writes, name, written)


async def demoted(running: Running) -> None:
    down = pb.DemoteAgentRequest(agent_id="sre-1", to_tier=pb.TIER_T2_BUILDER)
    await running.call("DemoteAgent", down, **ADMIN)


async def another_set(running: Running) -> None:
    document = (await default(running)).replace('version: "1"', 'version: "2"')
    await publish(running, document, "1")


async def another_packet(running: Running) -> None:
    await running.packet(forbidden=["service.*"])


async def suspended(running: Running) -> None:
    await running.call("SuspendAgent", pb.SuspendAgentRequest(agent_id="sre-1"), **ADMIN)


async def one_secret_more(running: Running) -> None:
    await running.call("CreateSecret", pb.CreateSecretRequest(agent_id="sre-1"))


def ask(**fields: Any) -> pb.AuthorizeRequest:
    restart = action("service.restart", "staging")
    return pb.AuthorizeRequest(**({"context": context(), "action": restart} | fields))


async def decided(running: Running, request: pb.AuthorizeRequest | None = None) -> pb.Decision:
    decision: pb.Decision = (await running.call("Authorize", request or ask())).decision
    return decision


async def on_record(running: Running) -> list[tuple[str, int, str]]:
    return [(each.reason, each.tier, each.policy_version) for each in await running.decisions()]


@pytest.fixture(autouse=True)
async def agent(running: Running) -> None:
    await running.register(tier=pb.TIER_T3_EXECUTOR)
    await running.packet()


MOVES = [
    (demoted, ("TIER_TOO_LOW", pb.TIER_T2_BUILDER, "1")),
    (another_set, ("ALLOWED_BY_TIER", pb.TIER_T3_EXECUTOR, "2")),
    (another_packet, ("FORBIDDEN_BY_PACKET", pb.TIER_T3_EXECUTOR, "1")),
    (suspended, ("AGENT_SUSPENDED", pb.TIER_T3_EXECUTOR, "1")),
]


@pytest.mark.parametrize(("move", "expected"), MOVES)
async def test_what_moves_while_others_are_asked_is_decided_by(
    running: Running, move: Move, expected: tuple[str, int, str]
) -> None:
    SlowOpa(running, move)
    decision = await decided(running)
    assert (decision.reason, decision.tier, decision.policy_version) == expected
    assert bool(decision.permit) == (decision.verdict == pb.VERDICT_ALLOW)
    assert await on_record(running) == [expected], "nothing was written down that did not hold any more"


@pytest.mark.parametrize(("move", "expected"), MOVES)
async def test_what_moves_while_it_is_written_is_decided_by(
    running: Running, move: Move, expected: tuple[str, int, str]
) -> None:
    await budget(running, limit(pb.UNIT_ACTIONS, 5))
    behind_the_commit(running, move)
    decision = await decided(running)
    assert (decision.reason, decision.tier, decision.policy_version) == expected
    allowed = decision.verdict == pb.VERDICT_ALLOW
    assert (bool(decision.permit), bool(decision.reservation_id)) == (allowed, allowed)
    live = running.policy.spending._budgets.current("default").live
    assert set(live) == {decision.reservation_id} - {""}, "set aside for what nobody was given"
    assert allowed or (await running.decisions())[-1].reason == expected[0]


async def test_a_refusal_is_not_taken_back(running: Running) -> None:
    behind_the_commit(running, demoted)
    nowhere = ask(action=action("service.restart", "moon"))
    assert (await decided(running, nowhere)).reason == "ENVIRONMENT_NOT_ALLOWED"
    assert len(await running.decisions()) == 1


async def test_a_secret_more_moves_nothing(running: Running) -> None:
    opa = SlowOpa(running, one_secret_more)
    behind_the_commit(running, one_secret_more)
    assert (await decided(running)).permit
    assert opa.asked == 1
    assert len(await running.decisions()) == 1


async def test_what_moves_without_end_is_refused_for_now(running: Running) -> None:
    async def moves(running: Running) -> None:
        await running.packet(scope=["service.*"])

    opa = SlowOpa(running, *[moves] * 60)
    with pytest.raises(Unavailable) as refused:
        await decided(running)
    assert refused.value.reason == "APPEND_CONFLICT"
    assert opa.asked % TRIES == 0, "it was tried without end, or the client was not told to try again"
    assert opa.asked > TRIES
    assert await running.decisions() == []


async def test_an_approval_that_was_used_under_looser_rules_is_not_used_again_under_stricter_ones(
    running: Running,
) -> None:
    async def two_people(running: Running) -> None:
        one = "  - id: production\n"
        document = (await default(running)).replace(one, one + "    needs: 2\n")
        await publish(running, document.replace('version: "1"', 'version: "2"'), "1")

    there = {"context": context(), "action": action("service.restart", "production")}
    approval = await requested(running, **there)
    await answered(running, approval.approval_id)
    behind_the_commit(running, two_people)
    decision = await decided(running, ask(approval_id=approval.approval_id, **there))
    assert (decision.verdict, decision.reason, decision.policy_version) == (
        pb.VERDICT_DENY,
        "DIGEST_MISMATCH",
        "2",
    )
    assert not decision.permit


async def test_many_that_are_asked_at_once_are_all_of_one_tier(running: Running) -> None:
    SlowOpa(running, demoted)
    actions = [action("service.restart", "staging", action_id=f"a{n}", target=f"u{n}") for n in range(20)]
    answer = await running.call(
        "BatchAuthorize", pb.BatchAuthorizeRequest(context=context(), actions=actions)
    )
    assert {(each.tier, each.reason) for each in answer.decisions} == {(pb.TIER_T2_BUILDER, "TIER_TOO_LOW")}
