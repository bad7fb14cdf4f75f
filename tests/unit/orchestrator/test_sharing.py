"""Which of several replicas carries a run: one, the same for all who ask, and where its agent is."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.handlers.sharing import HEARD_SECONDS, UNCLAIMED_SECONDS, Key, Said, Sharing

TENANT = "acme"
RUN = (TENANT, "r1")
CREW = Said(crews=frozenset({TENANT}), room=3)


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


class Told:
    """What one replica said, as the others would hear it."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Key]] = []

    def say(self, said: Said | None) -> None:
        pass

    def give(self, replica: str, run: Key) -> None:
        self.given.append((replica, run))


def sharing(
    me: str, others: Mapping[str, Said], clock: Clock | None = None, told: Told | None = None
) -> Sharing:
    made = Sharing(me, clock or Clock(), told or Told())
    for replica, said in others.items():
        made.heard(replica, said)
    return made


SAID = st.builds(
    Said,
    seats=st.frozensets(st.tuples(st.just(TENANT), st.sampled_from(["a", "b"]))),
    crews=st.frozensets(st.just(TENANT)),
)


@given(st.dictionaries(st.sampled_from("vwxyz"), SAID, min_size=1), st.sampled_from(["", "a", "b"]))
def test_all_who_ask_come_to_the_same_and_to_where_the_agent_is(
    all_said: dict[str, Said], agent_id: str
) -> None:
    chosen = {
        sharing(me, {other: said for other, said in all_said.items() if other != me}).chosen(
            RUN, agent_id, mine
        )
        for me, mine in all_said.items()
    }
    assert len(chosen) == 1
    fit = {
        replica
        for replica, said in all_said.items()
        if ((TENANT, agent_id) in said.seats if agent_id else TENANT in said.crews)
    }
    assert chosen <= (fit or set(all_said))


def test_runs_spread_over_replicas_and_few_move_when_one_goes() -> None:
    def where(others: str) -> dict[str, str]:
        mine = sharing("x", dict.fromkeys(others, CREW))
        return {f"r{n}": mine.chosen((TENANT, f"r{n}"), "", CREW) for n in range(300)}

    before, after = where("yz"), where("y")
    assert all(60 < list(before.values()).count(replica) < 140 for replica in "xyz")
    assert all(after[run] == replica for run, replica in before.items() if replica != "z")


def test_a_run_that_nobody_claims_is_taken_after_a_while_and_at_once_by_who_is_alone() -> None:
    clock = Clock()
    assert sharing("x", {}, clock).free(RUN)
    shared = sharing("x", {"y": CREW}, clock)
    assert not shared.free(RUN)
    clock.at += UNCLAIMED_SECONDS
    assert shared.free(RUN)


def test_what_another_carries_is_left_to_it_until_it_goes() -> None:
    clock = Clock()
    carrying = Said(runs=frozenset({RUN}))
    shared = sharing("x", {"y": carrying, "z": CREW}, clock)
    assert not shared.free(RUN)
    shared.heard("y", None)
    assert shared.free(RUN), "it said goodbye, and nobody need wait"


def test_who_says_nothing_for_long_is_gone() -> None:
    clock = Clock()
    shared = sharing("x", {"y": Said(runs=frozenset({RUN}))}, clock)
    assert shared.claimed(RUN)
    clock.at += HEARD_SECONDS + 0.1
    assert not shared.claimed(RUN)
    assert shared.free(RUN)


def test_a_run_is_given_where_its_agent_is_and_nowhere_else() -> None:
    told = Told()
    seated = Said(seats=frozenset({(TENANT, "a")}))
    shared = sharing("x", {"y": seated, "z": CREW}, told=told)
    assert shared.elsewhere(TENANT, "a")
    assert shared.give(RUN, "a", CREW)
    assert told.given == [("y", RUN)]
    assert not shared.elsewhere(TENANT, "b")
    assert not sharing("x", {}, told=told).give(RUN, "a", CREW)


def test_who_is_given_a_run_does_not_wait_for_who_gave_it() -> None:
    shared = sharing("x", {"y": Said(runs=frozenset({RUN}))})
    shared.given(RUN)
    assert not shared.claimed(RUN)


def test_an_agent_is_sent_to_where_there_is_more_room_but_not_all_at_once() -> None:
    clock = Clock()
    shared = sharing("x", {"y": Said()}, clock)
    full = Said(crews=frozenset({TENANT}), room=8)
    assert shared.crowded(full)
    assert not shared.crowded(full), "at most one every few seconds"
    shared = sharing("x", {"y": Said(room=4)}, clock)
    assert not shared.crowded(Said(room=4))
