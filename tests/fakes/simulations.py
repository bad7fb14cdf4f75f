"""A time machine that tells what it was given, so that what rests on it can be tested without a log and a process."""

from collections.abc import AsyncGenerator

from services.policy.domain.flips import Simulated, Simulation, Totals


class RecordedSimulations:
    """Implements `services.policy.ports.Simulations`; `asked` is what it was asked, `tells` what it will answer."""

    def __init__(self) -> None:
        self.asked: list[Simulation] = []
        self.tells: list[Simulated] = [Simulated((), Totals(), done=True)]
        self.running = 0

    async def run(self, asked: Simulation) -> AsyncGenerator[Simulated, None]:
        self.asked.append(asked)
        self.running += 1
        try:
            for each in self.tells:
                yield each
        finally:
            self.running -= 1
