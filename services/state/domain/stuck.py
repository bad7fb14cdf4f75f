"""Stuck detection: is an agent still getting anywhere? It may be slow, it may wait; it may not stand still unnoticed.

Progress is something that was not there before: another outcome, another action, a change of state, something new said.
Four ways of standing still are told apart:

- `NO_HEARTBEAT`: there is no sign of it at all;
- `NO_PROGRESS`: it is there, and nothing comes of it;
- `REPETITION`: the same few actions with the same outcomes, round and round;
- `CIRCLE`: agents answer each other with what they have said before.

Whoever waits for an approval, a gate, or a poll it declared is none of these, until the time it named is over. The way
of looking for rounds follows OpenHands' stuck detector (repeated pairs of action and observation); unlike that one it
asks for how long, too, so that a quick retry is not a fault.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.state.domain.signs import Beat, Did, Left, Moved, Said, Sign, Waits, Works

DEFAULT_PATIENCE_SECONDS = 30.0
KEPT = 48
"""So many of an agent's latest actions are looked at."""


class Kind(StrEnum):
    NO_HEARTBEAT = "NO_HEARTBEAT"
    NO_PROGRESS = "NO_PROGRESS"
    REPETITION = "REPETITION"
    CIRCLE = "CIRCLE"


@dataclass(frozen=True, slots=True)
class Stuck:
    """How it shows, what was seen, since when; in a circle, with whom."""

    kind: Kind
    evidence: str
    since: float
    with_agent_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class _Agent:
    began: float
    seen: float
    """The latest sign of any kind."""
    progressed: float
    waits: bool = False
    until: float | None = None
    """When what it waits for has to have come, if it said so."""
    done: "deque[tuple[str, str]]" = field(default_factory=lambda: deque(maxlen=KEPT))
    said: "deque[tuple[str, str]]" = field(default_factory=lambda: deque(maxlen=KEPT))

    def waiting(self, at: float) -> bool:
        return self.waits and (self.until is None or at < self.until)


class Watch:
    """Watches the agents of one task. Signs come in the order of their times, or nearly so."""

    def __init__(self, patience_seconds: float = DEFAULT_PATIENCE_SECONDS) -> None:
        self.patience_seconds = patience_seconds
        """May be changed: the next judgement goes by it."""
        self._agents: dict[str, _Agent] = {}

    def take(self, sign: Sign) -> None:
        """Note one sign."""
        if isinstance(sign, Left):
            self._agents.pop(sign.agent_id, None)
            return
        agent = self._agents.get(sign.agent_id)
        if agent is None:
            agent = self._agents[sign.agent_id] = _Agent(sign.at, sign.at, sign.at)
        agent.seen = max(agent.seen, sign.at)
        match sign:
            case Beat():
                pass
            case Did(action=action, result=result):
                self._note(agent, agent.done, (action, result), sign.at)
            case Said(to=to, content=content):
                self._note(agent, agent.said, (to, content), sign.at)
            case Moved():
                self._progress(agent, sign.at)
            case Waits(until=until):
                agent.waits, agent.until = True, until
            case Works():
                agent.waits, agent.until = False, None
                self._progress(agent, sign.at)

    def judge(self, agent_id: str, at: float) -> Stuck | None:
        """Whether the agent is stuck `at` this moment; one that is not known is not."""
        agent = self._agents.get(agent_id)
        if agent is None or agent.waiting(at):
            return None
        if at - agent.seen > self.patience_seconds:
            return Stuck(Kind.NO_HEARTBEAT, f"no sign of it for {at - agent.seen:.0f} s", agent.seen)
        progressed = agent.progressed
        if agent.waits and agent.until is not None:  # time spent waiting as declared is not held against it
            progressed = max(progressed, agent.until)
        still = at - progressed
        if still <= self.patience_seconds:
            return None
        return self._circle(agent_id, agent, progressed) or _repetition(agent, progressed, still)

    def progressed(self, agent_id: str) -> float:
        """When it last got anywhere; only of one that is watched."""
        return self._agents[agent_id].progressed

    def settle(self, agent_id: str, at: float) -> None:
        """It has been found stuck `at` this moment, maybe by another watcher: only what comes from now on is news."""
        agent = self._agents.get(agent_id)
        if agent is not None and self.judge(agent_id, at) is None:
            agent.progressed = min(agent.progressed, at - self.patience_seconds - 1)

    def __contains__(self, agent_id: str) -> bool:
        return agent_id in self._agents

    def agents(self) -> Sequence[str]:
        """Who is watched."""
        return tuple(self._agents)

    def _note(
        self, agent: _Agent, earlier: "deque[tuple[str, str]]", now: tuple[str, str], at: float
    ) -> None:
        if now not in earlier:
            agent.progressed = max(agent.progressed, at)
        earlier.append(now)

    def _progress(self, agent: _Agent, at: float) -> None:
        """What was done before may be done again: the world is another one."""
        agent.progressed = max(agent.progressed, at)
        agent.done.clear()
        agent.said.clear()

    def _circle(self, agent_id: str, agent: _Agent, since: float) -> Stuck | None:
        """In a circle with those it speaks to, if they speak to it and say nothing new either."""
        if not _goes_round(agent.said):
            return None
        others = {to for to, _ in agent.said if to} & self._agents.keys()
        same = sorted(
            other
            for other in others
            if _goes_round(self._agents[other].said)
            and any(to == agent_id for to, _ in self._agents[other].said)
        )
        if not same:
            return None
        return Stuck(Kind.CIRCLE, f"says again what it has said to {', '.join(same)}", since, tuple(same))


def _repetition(agent: _Agent, since: float, still: float) -> Stuck:
    if _goes_round(agent.done):
        action, result = agent.done[-1]
        times = sum(each == agent.done[-1] for each in agent.done)
        return Stuck(Kind.REPETITION, f"{times} times {action!r} with the outcome {result!r}", since)
    return Stuck(Kind.NO_PROGRESS, f"alive, and nothing new for {still:.0f} s", since)


def _goes_round(done: Sequence[tuple[str, str]]) -> bool:
    """Whether the latest four or more are nothing but a few that came before."""
    latest = list(done)[-4:]
    return len(latest) == 4 and all(list(done).count(each) > 1 for each in latest)
