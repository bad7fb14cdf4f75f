"""Who is below a revoked agent has lost its power, in whatever order that came to be known."""

from hypothesis import example, given
from hypothesis import strategies as st

from chassis.eventlog.memory import MemoryLog
from kernel.events import Cause, Head, Stream
from services.policy.domain.agent import AgentRegistered, AgentState
from services.policy.domain.revocation import AgentRevoked
from services.policy.domain.tier import Tier
from services.policy.reactor.agents import HeldAgents
from services.policy.wire import CODEC
from tests.unit.policy.words import AT

NAMES = "abcd"
SAID = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.sampled_from(NAMES), st.sampled_from(("", *NAMES))),
        st.tuples(st.just("revoke"), st.sampled_from(NAMES), st.just("")),
    ),
    max_size=16,
)


LATE = [("register", "a", ""), ("revoke", "a", ""), ("register", "b", "a"), ("register", "c", "b")]
UPWARDS = [("register", "c", "b"), ("register", "b", "a"), ("register", "a", ""), ("revoke", "a", "")]
CIRCLE = [("register", "a", "b"), ("register", "b", "c"), ("register", "c", "a"), ("revoke", "b", "")]


@example(LATE, 1)
@example(UPWARDS, 5)
@example(CIRCLE, 2)
@given(SAID, st.integers(1, 5))
async def test_power_goes_with_all_that_is_above(said: list[tuple[str, str, str]], at_once: int) -> None:
    log = MemoryLog(CODEC)
    parents: dict[str, str] = {}
    revoked: set[str] = set()
    versions: dict[str, Head] = {}
    for n, (what, agent_id, parent) in enumerate(said):
        if (what == "register") == (agent_id in parents) or agent_id in revoked:
            continue  # what no program of ours would write
        event: AgentRegistered | AgentRevoked
        if what == "register":
            event, parents[agent_id] = AgentRegistered(agent_id, Tier.T1_OPERATOR, "", "", AT, parent), parent
        else:
            event = AgentRevoked(agent_id, "operator", "", "key:ops", AT)
            revoked.add(agent_id)
        stream, after = Stream("default", "policy", "agent", agent_id), versions.get(agent_id, Head())
        appended = await log.append(
            stream, (event,), after=after, cause=Cause("default", f"{n}", "key:ops", AT)
        )
        versions[agent_id] = Head(appended.sequence, after.version + 1, appended.event_ids[0])
    held, events = HeldAgents(log, CODEC), log.recorded()
    for first in range(0, len(events), at_once):
        await held.take(events[first : first + at_once])

    def above(agent_id: str) -> set[str]:
        found: set[str] = set()
        while agent_id in parents and agent_id not in found:  # circles have an end, too
            found.add(agent_id)
            agent_id = parents[agent_id]
        return found

    fallen = {agent_id for agent_id in parents if above(agent_id) & revoked}
    states = {agent_id: held.current("default", agent_id).state for agent_id in parents}
    assert {each for each, state in states.items() if state is AgentState.REVOKED} == fallen
    assert {each.agent_id for each in held.fallen()} == fallen - revoked
    assert all(each.fell_with in above(each.agent_id) & revoked for each in held.fallen())
