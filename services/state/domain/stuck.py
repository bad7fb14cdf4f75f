"""Stuck detection: is an agent still getting anywhere? It may be slow, it may wait; it may not stand still unnoticed.

Progress is something that was not there before: another outcome, another action, a change of state, something new said,
the end of a wait. To stand again where it stood, or to wait once more for the same, is none. Four ways of standing
still are told apart:

- `NO_HEARTBEAT`: there is no sign of it at all;
- `NO_PROGRESS`: it is there, and nothing comes of it;
- `REPETITION`: the same few actions with the same outcomes, round and round;
- `CIRCLE`: agents answer each other with what they have said before.

Whoever waits for an approval, a gate, or a poll it declared is none of these, until the time it named is over; the time
it has waited so is never held against it. The way of looking for rounds follows OpenHands' stuck detector (repeated
pairs of action and observation); unlike that one it asks for how long, too, so that a quick retry is not a fault.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.state.domain.signs import Beat, Did, Left, Moved, Said, Sign, Waits, Works

DEFAULT_PATIENCE_SECONDS = 30.0
KEPT = 48
"""So many of an agent's latest actions are looked at."""
STOOD = 512
"""So many of the places where it stood last are known again."""


class Kind(StrEnum):
    NO_HEARTBEAT = "NO_HEARTBEAT"
    NO_PROGRESS = "NO_PROGRESS"
    REPETITION = "REPETITION"
    CIRCLE = "CIRCLE"


@dataclass(frozen=True, slots=True)
class Judged:
    """How it shows, what was seen, since when; in a circle, with whom."""

    kind: Kind
    evidence: str
    since: float
    with_agent_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class _Agent:
    seen: float
    """The latest sign of any kind."""
    progressed: float
    acted: float = 0.0
    """When it did or said anything at all."""
    waits: Waits | None = None
    anew: bool = False
    """Whether it has not waited for this before."""
    done: "deque[tuple[str, str]]" = field(default_factory=lambda: deque(maxlen=KEPT))
    said: "deque[tuple[str, str]]" = field(default_factory=lambda: deque(maxlen=KEPT))
    awaited: "deque[str]" = field(default_factory=lambda: deque(maxlen=KEPT))
    stood: "dict[str, None]" = field(default_factory=dict)

    def waiting(self, at: float) -> bool:
        return self.waits is not None and (self.waits.until is None or at < self.waits.until)

    def since(self, at: float) -> float:
        """Since when it gets nowhere: time spent waiting as declared is not held against it."""
        if self.waits is None:
            return self.progressed
        over = at if self.waits.until is None else min(at, self.waits.until)
        if self.anew:
            return max(self.progressed, over)
        return self.progressed + max(0.0, over - max(self.progressed, self.waits.at))


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
            agent = self._agents[sign.agent_id] = _Agent(sign.at, sign.at)
        agent.seen = max(agent.seen, sign.at)
        match sign:
            case Beat():
                pass
            case Did(action=action, result=result):
                self._note(agent, agent.done, (action, result), sign.at)
            case Said(to=to, content=content):
                self._note(agent, agent.said, (to, content), sign.at)
            case Moved(to=to):
                if not to or _first_time(agent, to):
                    self._progress(agent, sign.at)
            case Waits():
                self._wait(agent, sign)
            case Works():
                self._go_on(agent, sign.at)

    def judge(self, agent_id: str, at: float) -> Judged | None:
        """Whether the agent is stuck `at` this moment; one that is not known is not."""
        agent = self._agents.get(agent_id)
        if agent is None or agent.waiting(at):
            return None
        if at - agent.seen > self.patience_seconds:
            return Judged(Kind.NO_HEARTBEAT, f"no sign of it for {at - agent.seen:.0f} s", agent.seen)
        progressed = agent.since(at)
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
        agent.acted = max(agent.acted, at)

    def _progress(self, agent: _Agent, at: float) -> None:
        """What was done before may be done again: the world is another one."""
        agent.progressed = max(agent.progressed, at)
        agent.done.clear()
        agent.said.clear()
        agent.awaited.clear()

    def _wait(self, agent: _Agent, wait: Waits) -> None:
        if agent.waits is not None and agent.waits.what == wait.what:
            agent.waits = replace(wait, at=agent.waits.at)
            return
        self._go_on(agent, wait.at)
        agent.waits, agent.anew = wait, wait.what not in agent.awaited
        agent.awaited.append(wait.what)

    def _go_on(self, agent: _Agent, at: float) -> None:
        """What it waited for has come: that is progress the first time. What it did before is not new for that."""
        if agent.waits is not None:
            agent.progressed = max(agent.progressed, at) if agent.anew else agent.since(at)
        agent.waits = None

    def _circle(self, agent_id: str, agent: _Agent, since: float) -> Judged | None:
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
        return Judged(Kind.CIRCLE, f"says again what it has said to {', '.join(same)}", since, tuple(same))


def _repetition(agent: _Agent, since: float, still: float) -> Judged:
    if agent.acted > since and _goes_round(agent.done):
        action, result = agent.done[-1]
        times = sum(each == agent.done[-1] for each in agent.done)
        return Judged(Kind.REPETITION, f"{times} times {action!r} with the outcome {result!r}", since)
    waits = f", waits for {agent.waits.what}" if agent.waits is not None and agent.waits.what else ""
    return Judged(Kind.NO_PROGRESS, f"alive, and nothing new for {still:.0f} s{waits}", since)


def _first_time(agent: _Agent, to: str) -> bool:
    known = to in agent.stood
    agent.stood.pop(to, None)
    agent.stood[to] = None
    if len(agent.stood) > STOOD:
        del agent.stood[next(iter(agent.stood))]
    return not known


def _goes_round(done: Sequence[tuple[str, str]]) -> bool:
    """Whether the latest four or more are nothing but a few that came before."""
    latest = list(done)[-4:]
    return len(latest) == 4 and all(list(done).count(each) > 1 for each in latest)
