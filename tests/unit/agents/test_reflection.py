"""Reflection: the score is computed from the lines cited, and a second cycle can change the cause."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.orchestrator.agents.analyst import claims_of, first_belief, survey
from services.orchestrator.agents.checker import check
from services.orchestrator.agents.incident import Claim, Cycle, Severity
from services.orchestrator.agents.reflection import analyse
from services.orchestrator.agents.rulebook import packaged
from services.orchestrator.agents.scoring import score
from tests.unit.agents.conftest import sick

# One kill by the kernel, then a flood of what follows from it: loud is what is not the cause.
ROOT_AND_FLOOD = (
    "Mar  1 10:00:00 db1 kernel: Out of memory: Killed process 900 (postgres) total-vm:9999kB\n"
    + "".join(
        f"Mar  1 10:{i // 60:02}:{i % 60:02} db1 api[77]: ERROR: connect to 10.0.0.9 port 5432: Connection refused\n"
        for i in range(1, 1_500)
    )
)


def test_a_second_cycle_can_change_the_cause() -> None:
    found = analyse(ROOT_AND_FLOOD)
    first, second = found.cycles
    assert (first.cause, second.cause) == ("network", "memory")
    assert first.score < 0.7 <= second.score
    assert any("may be a symptom" in criticism for criticism in first.criticism)
    assert "cause: network → memory" in second.changed
    assert found.incident.cause == "memory"
    assert 1 in {evidence.line for evidence in found.incident.evidence}


def test_classic_and_no_reflection_are_exactly_one_cycle() -> None:
    for found in (
        analyse(ROOT_AND_FLOOD, strategy="classic"),
        analyse(ROOT_AND_FLOOD, reflection=False),
        analyse(ROOT_AND_FLOOD, max_cycles=1),
    ):
        assert len(found.cycles) == 1
        assert found.incident.cause == "network"


def test_a_target_that_is_reached_ends_it() -> None:
    assert len(analyse(ROOT_AND_FLOOD, target_score=0.1).cycles) == 1
    assert len(analyse(ROOT_AND_FLOOD, max_cycles=9, target_score=1.1).cycles) <= 9


def test_each_cycle_is_told_as_it_ends() -> None:
    told: list[Cycle] = []
    found = analyse(ROOT_AND_FLOOD, on_cycle=told.append)
    assert tuple(told) == found.cycles
    assert [cycle.number for cycle in told] == [1, 2]
    assert all(cycle.evidence and cycle.belief for cycle in told)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown strategy"):
        analyse("x", strategy="guess")


def test_every_cited_line_taken_away_lowers_the_score(system: str) -> None:
    seen = survey(sick(system), packaged())
    belief = first_belief(seen)
    cited = sorted({line for claim in claims_of(seen, belief) for line in claim.evidence})
    whole = score(seen.troubles, cited, belief.cause)
    for line in cited:
        assert score(seen.troubles, [other for other in cited if other != line], belief.cause) < whole
    assert score(seen.troubles, [], belief.cause) == 0


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_fewer_lines_the_lower_the_score(data: st.DataObject) -> None:
    seen = survey(sick("kernel_disk") + sick("postgres"), packaged())
    belief = first_belief(seen)
    cited = sorted({line for claim in claims_of(seen, belief) for line in claim.evidence})
    kept = data.draw(st.sets(st.sampled_from(cited)))
    fewer = data.draw(st.sets(st.sampled_from(sorted(kept)))) if kept else set()
    more, less = score(seen.troubles, kept, belief.cause), score(seen.troubles, fewer, belief.cause)
    assert less < more if fewer < kept else less == more


def _claim(rule: str, *lines: int) -> Claim:
    return Claim("it is so", "memory", Severity.CRITICAL, 0.9, lines, rule, len(lines), 1, 1)


def test_the_checker_drops_claims_without_lines_and_lines_that_do_not_say_so() -> None:
    seen = survey("all is well\nkernel: Out of memory: Killed process 900 (postgres)\n", packaged())
    kept, dropped = check(
        seen,
        (
            _claim("memory.oom_kill"),  # cites nothing
            _claim("disk.full", 2),  # the line says something else
            _claim("memory.oom_kill", 1),  # the line says nothing of the kind
            _claim("memory.oom_kill", 99),  # there is no such line
            _claim("memory.oom_kill", 1, 2, 3),  # one of three says so
        ),
    )
    assert [claim.evidence for claim in kept] == [(2,)]
    assert len(dropped) == 4
    assert "cites no line" in dropped[0]
