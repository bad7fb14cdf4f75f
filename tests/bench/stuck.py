"""How well stuck detection tells who is stuck from who is slow or waits, on histories it was not written for.

python -m tests.bench.stuck [--json FILE]

Every second of every history each agent is judged. A stuck agent is found if it is named within 60 s of getting stuck
(or before its history ends); an alarm is false if the agent was not stuck. Both are counted once for an agent.
"""

import argparse
import json
import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from services.state.domain.stuck import Watch
from tests.bench.verdict import ended
from tests.truth.histories import HISTORIES, LOOKED_AT, History, history

TARGET = 0.9
FOUND_WITHIN_SECONDS = 60.0


@dataclass(slots=True)
class Score:
    found: int = 0
    missed: int = 0
    false: int = 0
    named_right: int = 0
    delays: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.false)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.found + self.missed)


def judge(told: History, score: Score) -> None:
    """Live through one history."""
    watch, signs = Watch(), iter(told.signs)
    coming = next(signs, None)
    open_episodes = {each.agent_id: each for each in told.episodes}
    found: set[str] = set()
    false: set[str] = set()
    for second in range(math.ceil(told.ends) + 1):
        while coming is not None and coming.at <= second:
            watch.take(coming)
            coming = next(signs, None)
        for agent_id in watch.agents():
            stuck = watch.judge(agent_id, second)
            episode = open_episodes.get(agent_id)
            if stuck is None:
                continue
            if episode is None or second < episode.begins:
                false.add(agent_id)
            elif agent_id not in found and second <= episode.begins + FOUND_WITHIN_SECONDS:
                found.add(agent_id)
                score.delays.append(second - episode.begins)
                score.named_right += stuck.kind == episode.kind.upper()
    missed = open_episodes.keys() - found
    score.found += len(found)
    score.missed += len(missed)
    score.false += len(false)
    for word, agents in (("missed", missed), ("false", false)):
        if agents:
            score.wrong[f"{word} in {told.name}"] += len(agents)


def score_of(seeds: range) -> Score:
    score = Score()
    for seed in seeds:
        judge(history(seed), score)
    return score


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    halves = {
        "seeds looked at": score_of(range(LOOKED_AT)),
        "seeds never looked at": score_of(range(LOOKED_AT, HISTORIES)),
    }
    print(f"{'':<24}{'precision':>10}{'recall':>8}{'at least':>10}{'kind right':>12}{'after, s':>10}")
    for name, score in halves.items():
        delay = sorted(score.delays)[len(score.delays) // 2] if score.delays else 0.0
        right = score.named_right / max(1, score.found)
        print(
            f"{name:<24}{score.precision:>10.3f}{score.recall:>8.3f}{TARGET:>10}{right:>12.3f}{delay:>10.1f}"
        )
    for what, times in halves["seeds looked at"].wrong.items():
        print(f"  {what}: {times}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        measured = {name: [score.precision, score.recall] for name, score in halves.items()}
        options.json.write_text(json.dumps(measured, indent=2) + "\n")
    return ended(min(score.precision, score.recall) >= TARGET for score in halves.values())


if __name__ == "__main__":
    sys.exit(main())
