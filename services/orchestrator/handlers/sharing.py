"""Which replica carries which run, when there are several.

Each replica says twice a second which agents are attached to it and what it carries. Whoever finds a run that nobody
carries works out from that who should; all come to the same answer, and the one it names goes on with it. Nothing rests
on their being right: two who carry one run for a moment ask for the same things under the same ids, which are answered
once. What this decides is that a run is not left lying, and that it is where its agent is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

SAY_SECONDS = 0.5
HEARD_SECONDS = 5 * SAY_SECONDS
"""Who has said nothing for so long is gone."""
UNCLAIMED_SECONDS = 3 * SAY_SECONDS
"""So long a run must be claimed by nobody before another takes it: who began it may not have said so yet."""
CROWDED_SECONDS = 4.0

Key = tuple[str, str]
"""Of a run, or an agent: its tenant, and its id."""


class SeatedElsewhere(BaseException):
    """The agent that a run needs is attached to another replica, and not here: the run goes there.

    No error, and so none for those who catch errors.
    """


@dataclass(frozen=True, slots=True)
class Said:
    """What one replica says of itself: `crews` are tenants of whose built-in crew somebody is attached to it."""

    seats: frozenset[Key] = frozenset()
    crews: frozenset[str] = frozenset()
    runs: frozenset[Key] = frozenset()
    room: int = 0
    """How many of the built-in crew are attached."""


class Tells(Protocol):
    """How it reaches the others; what is lost on the way is said again."""

    def say(self, said: Said | None) -> None:
        """Tell all; None: goodbye."""
        ...

    def give(self, replica: str, run: Key) -> None:
        """Tell one of them that it carries this run from now on."""
        ...


class Sharing:
    """What this replica, `me`, knows of the others."""

    def __init__(self, me: str, clock: Callable[[], float], tells: Tells | None = None) -> None:
        self.me = me
        self._clock = clock
        self._tells = tells
        self._heard: dict[str, tuple[float, Said]] = {}
        self._unclaimed: dict[Key, float] = {}
        self._crowded_at = 0.0

    def heard(self, replica: str, said: Said | None) -> None:
        """What another one said; None: it has gone, and what it carried is free at once."""
        if replica == self.me:
            return
        if said is not None:
            self._heard[replica] = (self._clock(), said)
            return
        _, last = self._heard.pop(replica, (0.0, Said()))
        self._unclaimed.update(dict.fromkeys(last.runs, -UNCLAIMED_SECONDS))

    def say(self, mine: Said | None) -> None:
        if self._tells is not None:
            self._tells.say(mine)

    def give(self, run: Key, agent_id: str, mine: Said) -> bool:
        """Have the replica where its agent is carry a run; False when there is none but this."""
        to = self.chosen(run, agent_id, mine)
        if to == self.me or self._tells is None:
            return False
        self._tells.give(to, run)
        return True

    def given(self, run: Key) -> None:
        """Another replica has given us a run: nobody else carries it, whatever was said before."""
        for replica, (at, said) in self._heard.items():
            if run in said.runs:
                self._heard[replica] = (at, Said(said.seats, said.crews, said.runs - {run}, said.room))

    def claimed(self, run: Key) -> bool:
        """Whether another replica carries it."""
        return any(run in said.runs for said in self.others().values())

    def free(self, run: Key) -> bool:
        """Whether nobody has claimed it for long enough; asked again and again, for it counts from the first time."""
        if self.claimed(run):
            self._unclaimed.pop(run, None)
            return False
        since = self._unclaimed.setdefault(run, self._clock())
        return not self.others() or self._clock() - since >= UNCLAIMED_SECONDS or since < 0

    def settled(self, run: Key) -> None:
        """It is over, or carried here."""
        self._unclaimed.pop(run, None)

    def elsewhere(self, tenant: str, agent_id: str) -> bool:
        """Whether the agent (empty: any of the built-in crew) is attached to another replica."""
        return bool(self._fit(tenant, agent_id, self.others()))

    def chosen(self, run: Key, agent_id: str, mine: Said) -> str:
        """Who should carry it: one of those where its agent is, or of all; the same one, whoever asks.

        By rendezvous hashing (Thaler and Ravishankar, 1996), so that a replica which comes or goes moves few runs.
        """
        everybody = {self.me: mine, **self.others()}
        fit = self._fit(run[0], agent_id, everybody) or list(everybody)
        return max(fit, key=lambda replica: sha256(f"{run[1]} {replica}".encode()).digest())

    def crowded(self, mine: Said) -> bool:
        """Whether more of the built-in crew are attached here than an even share. Says so every few seconds at most:
        who attaches again may not find the others yet."""
        others = self.others().values()
        share = -(-(mine.room + sum(each.room for each in others)) // (1 + len(others)))
        if not others or mine.room <= share or self._clock() < self._crowded_at + CROWDED_SECONDS:
            return False
        self._crowded_at = self._clock()
        return True

    def others(self) -> Mapping[str, Said]:
        """Those who are there."""
        since = self._clock() - HEARD_SECONDS
        return {replica: said for replica, (at, said) in self._heard.items() if at >= since}

    @staticmethod
    def _fit(tenant: str, agent_id: str, among: Mapping[str, Said]) -> list[str]:
        return [
            replica
            for replica, said in among.items()
            if ((tenant, agent_id) in said.seats if agent_id else tenant in said.crews)
        ]
