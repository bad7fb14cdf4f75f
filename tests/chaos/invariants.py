"""What must hold whatever happened: the invariants, written once, over the log as it is on disk.

1 acknowledged implies stored (and done), 2 one effect per request, 3 versions without holes or twins, 5 no effect
without a stored ALLOW before it, 7 one holder per lock, 8 every run ends.
"""

import ssl
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from chassis.eventlog.connection import connect
from chassis.eventlog.follower import Follower
from kernel.events import Recorded
from provost.orchestrator.v1 import events_pb2 as runs
from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from provost.state.v1 import events_pb2 as state


async def everything(nats_url: str, tls: ssl.SSLContext | None = None) -> list[Recorded]:
    """Every event of the log, oldest first."""
    connection = await connect(nats_url, name="invariants", tls=tls)
    events: list[Recorded] = []

    async def take(batch: Sequence[Recorded]) -> None:
        events.extend(batch)

    follower = Follower(connection, ("evt.>",), 0, take, "invariants")
    await follower.start()
    await follower.caught_up()
    await follower.stop()
    await connection.close()
    return events


def check(events: Sequence[Recorded], acknowledged: Mapping[str, int]) -> None:
    """All of them; `acknowledged` is the sequence that was answered for each run that was said to be over."""
    stored_what_was_acknowledged(events, acknowledged)
    who_was_to_act_has_acted(events, acknowledged)
    one_effect_per_request(events)
    versions_without_holes_or_twins(events)
    no_effect_without_an_allow(events)
    one_holder_per_lock(events)
    every_run_ends(events)


def stored_what_was_acknowledged(events: Sequence[Recorded], acknowledged: Mapping[str, int]) -> None:
    by_sequence = {event.sequence: event for event in events}
    for run_id, sequence in acknowledged.items():
        event = by_sequence.get(sequence)
        assert event is not None, f"run {run_id} was answered with {sequence}, which is not in the log"
        assert event.subject.endswith(f".run.{run_id}.RunEnded"), f"{sequence} is {event.subject}"


def who_was_to_act_has_acted(events: Sequence[Recorded], acknowledged: Mapping[str, int]) -> None:
    """A run that was denied everything is over, too: the rules about effects would hold, and say nothing."""
    begun = [runs.RunStarted.FromString(event.payload) for event in _of(events, "RunStarted")]
    to_act = {run.run_id for run in begun if run.mode == policy_pb2.MODE_AUTO} & set(acknowledged)
    assert to_act, "nobody was to act"
    acted = {event.stream.id for event in _of(events, "EffectIntended")}
    assert to_act <= acted, f"runs that were over without having acted: {sorted(to_act - acted)}"


def one_effect_per_request(events: Sequence[Recorded]) -> None:
    assert not _twice(event.event_id for event in events), "an event id stands twice in the log"
    assert not _twice(event.stream.id for event in _of(events, "RunStarted")), "a run began twice"
    intended = [runs.EffectIntended.FromString(event.payload) for event in _of(events, "EffectIntended")]
    assert not _twice(effect.effect_id for effect in intended), "an effect was intended twice"
    observed = [
        effect.effect_id
        for event in _of(events, "EffectsObserved")
        for effect in runs.EffectsObserved.FromString(event.payload).effects
    ]
    assert not _twice(observed), "an effect was observed twice"
    assert {effect.effect_id for effect in intended} <= set(observed), "an effect has no outcome"


def versions_without_holes_or_twins(events: Sequence[Recorded]) -> None:
    last: dict[object, tuple[int, int]] = {}
    for event in events:
        stream = event.stream
        version, sequence = last.get(stream, (0, 0))
        assert int(event.headers["ce-aggver"]) == version + 1, f"{event.subject} at {event.sequence}"
        assert int(event.headers.get("ce-prevseq", 0)) == sequence, f"{event.subject} at {event.sequence}"
        last[stream] = (version + 1, event.sequence)


def no_effect_without_an_allow(events: Sequence[Recorded]) -> None:
    allowed: set[tuple[str, str]] = set()
    for event in events:
        if event.event_type == "DecisionsMade":
            for decision in policy.DecisionsMade.FromString(event.payload).decisions:
                if decision.verdict == policy_pb2.VERDICT_ALLOW:
                    allowed.add((decision.decision_id, decision.action_digest))
        elif event.event_type == "EffectIntended":
            effect = runs.EffectIntended.FromString(event.payload)
            assert (effect.decision_id, effect.action_digest) in allowed, f"no ALLOW before {event.sequence}"


def one_holder_per_lock(events: Sequence[Recorded]) -> None:
    holder: dict[str, tuple[str, datetime]] = {}
    for event in events:
        agent = f"{event.stream.tenant}/{event.stream.id}"
        if event.event_type == "LockAcquired":
            taken = state.LockAcquired.FromString(event.payload)
            before = holder.get(agent)
            free = before is None or before[1] <= taken.at.ToDatetime()
            assert free, f"{agent} was held at {event.sequence}"
            holder[agent] = (taken.holder, taken.expire_time.ToDatetime())
        elif event.event_type == "AgentAdvanced":
            moved = state.AgentAdvanced.FromString(event.payload)
            held = holder.get(agent)
            assert held is not None, f"{agent} was moved without a lock at {event.sequence}"
            assert held[0] == moved.run_id, f"{agent} was moved under another's lock at {event.sequence}"
            holder[agent] = (moved.run_id, moved.lock_expire_time.ToDatetime())
        elif event.event_type in ("LockReleased", "LockForced"):
            holder.pop(agent, None)


def every_run_ends(events: Sequence[Recorded]) -> None:
    begun = {event.stream.id for event in _of(events, "RunStarted")}
    ended = [event.stream.id for event in _of(events, "RunEnded")]
    assert not _twice(ended), "a run ended twice"
    assert begun == set(ended), f"runs without an end: {sorted(begun - set(ended))}"


def _of(events: Iterable[Recorded], event_type: str) -> list[Recorded]:
    return [event for event in events if event.event_type == event_type]


def _twice(things: Iterable[str]) -> list[str]:
    return [thing for thing, count in Counter(things).items() if count > 1]
