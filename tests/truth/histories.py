"""Histories of agents at work, some of whom get stuck: the truth that stuck detection is held to.

Frozen before there was a detector, and never fitted to one. Seeds below `LOOKED_AT` may be looked at while a detector
is written; the other half is for the bench alone. A history is what state could have seen: signs in the order of their
times, lost heartbeats included; its truth is who was stuck, from when on, and in what way.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from services.state.domain.signs import Beat, Did, Left, Moved, Said, Sign, Waits, Works

HISTORIES = 400
LOOKED_AT = HISTORIES // 2
BEAT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Episode:
    """From `begins` (the first second in which nothing useful happens any more) to `ends`."""

    agent_id: str
    kind: str
    begins: float
    ends: float


@dataclass(slots=True)
class History:
    name: str
    signs: list[Sign] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    ends: float = 0.0


class Author:
    """Writes what one agent does, from its own moment on."""

    def __init__(self, dice: random.Random, history: History, agent_id: str, at: float = 0.0) -> None:
        self.dice = dice
        self.history = history
        self.agent_id = agent_id
        self.at = at
        self.beats = True
        self._beaten = at
        self._number = 0
        self.tell(Works(at, agent_id))

    def tell(self, sign: Sign) -> None:
        self.history.signs.append(sign)

    def pause(self, least: float, most: float) -> None:
        """Time goes by; heartbeats come, though now and then one is lost."""
        until = self.at + self.dice.uniform(least, most)
        while self.beats and self._beaten + BEAT_SECONDS <= until:
            self._beaten += BEAT_SECONDS
            if self.dice.random() > 0.04:
                self.tell(Beat(self._beaten + self.dice.uniform(0, 0.4), self.agent_id))
        if not self.beats:
            self._beaten = until
        self.at = until

    def new(self, word: str) -> str:
        self._number += 1
        return f"{word}-{self.agent_id}-{self._number}"

    def did(self, action: str, result: str) -> None:
        self.tell(Did(self.at, self.agent_id, action, result))

    def moved(self) -> None:
        self.tell(Moved(self.at, self.agent_id))

    def said(self, to: str, content: str) -> None:
        self.tell(Said(self.at, self.agent_id, to, content))

    def work(self, steps: int) -> None:
        """Ordinary work: different actions, now and then one again, phases and entries in between."""
        for _ in range(steps):
            self.pause(0.5, 18)
            action, result = self.new("act"), self.dice.choice(("ok", self.new("found")))
            self.did(action, result)
            if self.dice.random() < 0.15:  # tried once more, with the same outcome
                for _ in range(self.dice.choice((1, 1, 1, 2))):
                    self.pause(0.5, 6)
                    self.did(action, result)
            if self.dice.random() < 0.3:
                self.moved()

    def stuck(self, kind: str, begins: float) -> None:
        self.history.episodes.append(Episode(self.agent_id, kind, begins, self.at))

    def leave(self) -> None:
        self.tell(Left(self.at, self.agent_id))


Scene = Callable[[random.Random, History], None]


def works(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(8, 40))
    one.leave()


def several_work(dice: random.Random, history: History) -> None:
    for name in "abc"[: dice.randint(2, 3)]:
        author = Author(dice, history, name, dice.uniform(0, 20))
        author.work(dice.randint(8, 30))
        author.leave()


def waits_for_approval(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 8))
    until = one.at + 4000 if dice.random() < 0.5 else None
    one.tell(Waits(one.at, "a", until))
    one.beats = dice.random() < 0.6  # some are let go while they wait
    one.pause(60, 1800)
    one.beats = True
    one.tell(Works(one.at, "a"))
    one.work(dice.randint(2, 8))
    one.leave()


def polls_as_declared(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(1, 6))
    one.tell(Waits(one.at, "a", one.at + 400))
    for _ in range(dice.randint(8, 40)):
        one.pause(2, 9)
        one.did("poll", "pending")
    one.tell(Works(one.at, "a"))
    one.did("poll", "done")
    one.work(dice.randint(2, 8))
    one.leave()


def goes_through_a_list(dice: random.Random, history: History) -> None:
    """The same kind of step again and again, each on something else, each with the same outcome."""
    one = Author(dice, history, "a")
    one.work(dice.randint(1, 5))
    for _ in range(dice.randint(10, 60)):
        one.pause(0.3, 8)
        one.did(one.new("check"), "ok")
    one.leave()


def turns_pages(dice: random.Random, history: History) -> None:
    """The same action, each time with another outcome."""
    one = Author(dice, history, "a")
    for _ in range(dice.randint(10, 60)):
        one.pause(0.3, 8)
        one.did("next", one.new("page"))
    one.leave()


def edits_and_tests(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    for _ in range(dice.randint(5, 20)):
        one.pause(2, 14)
        one.did("edit", one.new("diff"))
        one.moved()
        one.pause(1, 12)
        one.did("test", dice.choice(("failed", "failed", one.new("failed"))))
    one.leave()


def talks_it_over(dice: random.Random, history: History) -> None:
    """Two agents answer each other for long, and each time say something new."""
    one, other = Author(dice, history, "a"), Author(dice, history, "b")
    for turn in range(dice.randint(8, 30)):
        speaker, hearer = (one, other) if turn % 2 == 0 else (other, one)
        speaker.pause(2, 12)
        content = "agreed" if dice.random() < 0.1 else speaker.new("says")
        speaker.said(hearer.agent_id, content)
        hearer.pause(0, max(0.0, speaker.at - hearer.at))
        hearer.at = max(hearer.at, speaker.at)
        if dice.random() < 0.2:
            speaker.moved()
    one.leave()
    other.leave()


def is_cut_off_for_a_while(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 8))
    one.beats = False
    one.pause(12, 26)
    one.beats = True
    one.work(dice.randint(4, 12))
    one.leave()


def thinks_long(dice: random.Random, history: History) -> None:
    """Alive and silent for long, yet never for longer than the usual threshold."""
    one = Author(dice, history, "a")
    for _ in range(dice.randint(3, 8)):
        one.work(dice.randint(1, 3))
        one.pause(15, 29)
        one.did(one.new("thought"), "ok")
    one.leave()


def dies(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 20))
    begins = one.at
    one.beats = False
    one.pause(90, 300)
    one.stuck("no_heartbeat", begins)


def hangs(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 20))
    begins = one.at
    one.pause(90, 300)
    one.stuck("no_progress", begins)


def repeats_itself(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 15))
    begins = one.at
    for _ in range(dice.randint(10, 40)):
        one.pause(0.5, 9)
        one.did("retry", "refused")
    one.stuck("repetition", begins)


def repeats_a_round(dice: random.Random, history: History) -> None:
    """The same two or three steps, with the same outcomes, round and round."""
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 15))
    begins = one.at
    steps = dice.randint(2, 3)
    for turn in range(dice.randint(20, 60)):
        one.pause(0.5, 7)
        one.did(f"step-{turn % steps}", "same")
    one.stuck("repetition", begins)


def repeats_with_another_word(dice: random.Random, history: History) -> None:
    """The same again and again, but for an outcome that now and then reads differently."""
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 15))
    begins = one.at
    for _ in range(dice.randint(25, 50)):
        one.pause(0.5, 7)
        one.did("retry", "refused" if dice.random() < 0.85 else "timeout")
    one.stuck("repetition", begins)


def turn_in_a_circle(dice: random.Random, history: History) -> None:
    one, other = Author(dice, history, "a"), Author(dice, history, "b")
    one.work(dice.randint(1, 5))
    other.work(dice.randint(1, 5))
    at = max(one.at, other.at)
    for author in (one, other):
        author.pause(at - author.at, at - author.at)
    begins = at
    lines = dice.randint(1, 2)
    for turn in range(dice.randint(24, 50)):
        speaker, hearer = (one, other) if turn % 2 == 0 else (other, one)
        speaker.pause(1, 6)
        speaker.said(hearer.agent_id, f"{speaker.agent_id}-line-{turn // 2 % lines}")
        hearer.pause(max(0.0, speaker.at - hearer.at), max(0.0, speaker.at - hearer.at))
    for author in (one, other):
        author.stuck("circle", begins)


def polls_on_past_its_time(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(1, 6))
    until = one.at + dice.uniform(20, 90)
    one.tell(Waits(one.at, "a", until))
    while one.at < until + 120:
        one.pause(2, 9)
        one.did("poll", "pending")
    one.stuck("repetition", until)


def does_not_go_on_after_the_answer(dice: random.Random, history: History) -> None:
    one = Author(dice, history, "a")
    one.work(dice.randint(2, 8))
    one.tell(Waits(one.at, "a"))
    one.pause(20, 400)
    one.tell(Works(one.at, "a"))
    begins = one.at
    one.pause(90, 200)
    one.stuck("no_progress", begins)


def one_of_several_dies(dice: random.Random, history: History) -> None:
    several_work(dice, history)
    one = Author(dice, history, "d")
    one.work(dice.randint(2, 10))
    begins = one.at
    one.beats = False
    one.pause(90, 200)
    one.stuck("no_heartbeat", begins)


SCENES: tuple[Scene, ...] = (
    works,
    several_work,
    waits_for_approval,
    polls_as_declared,
    goes_through_a_list,
    turns_pages,
    edits_and_tests,
    talks_it_over,
    is_cut_off_for_a_while,
    thinks_long,
    dies,
    hangs,
    repeats_itself,
    repeats_a_round,
    repeats_with_another_word,
    turn_in_a_circle,
    polls_on_past_its_time,
    does_not_go_on_after_the_answer,
    one_of_several_dies,
)


def history(seed: int) -> History:
    """The history of a seed, the same for ever: signs sorted by time."""
    dice = random.Random(seed)
    scene = SCENES[seed % len(SCENES)]
    told = History(scene.__name__)
    scene(dice, told)
    told.signs.sort(key=lambda sign: sign.at)
    told.ends = max(sign.at for sign in told.signs)
    told.ends = max([told.ends, *(episode.ends for episode in told.episodes)])
    return told
