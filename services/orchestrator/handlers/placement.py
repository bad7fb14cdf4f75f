"""Which of the runs that are not over are carried here, when there are several replicas."""

from collections.abc import Callable

from kernel.faults import Unavailable
from services.orchestrator.domain.run import Run
from services.orchestrator.handlers.carrying import Carried, InHand
from services.orchestrator.handlers.crew import AttachedCrew
from services.orchestrator.handlers.sharing import Key, Said, Sharing
from services.orchestrator.ports import Runs


class Placement:
    """Takes on runs that nobody carries, gives away those whose agent is elsewhere; `sharing` says which these are."""

    def __init__(
        self,
        runs: Runs,
        crew: AttachedCrew,
        sharing: Sharing,
        carried: InHand,
        carry: Callable[[str, str], None],
    ) -> None:
        self._runs = runs
        self._crew = crew
        self._sharing = sharing
        self._carried = carried
        self._carry = carry
        self._open: dict[Key, None] = {}
        self._bound: dict[Key, str] = {}
        crew.elsewhere, crew.bound = sharing.elsewhere, self._bound_to

    @property
    def open(self) -> int:
        """How many runs are not over, whoever carries them."""
        return len(self._open)

    def noted(self, key: Key) -> bool:
        """Something was recorded of a run, here or by another replica; False when it cannot be read."""
        try:
            run = self._runs.current(*key)
        except Unavailable:
            return False  # it is for nobody to carry until it can be read
        if run.over:
            self._open.pop(key, None)
            self._sharing.settled(key)
        else:
            self._open[key] = None
        if run.agent_id or run.over:
            # Who was booked for it here, before it was known that another has it or that it is over, is free.
            self._crew.keep(*key, "" if run.over else run.agent_id)
        if run.agent_id:
            agent = (key[0], run.agent_id)
            if run.has_its_agent:
                self._bound[agent] = key[1]
            elif self._bound.get(agent) == key[1]:
                del self._bound[agent]
        return True

    def share(self, stopping: bool) -> None:
        """Say what is carried here, and take on what nobody carries and this replica should, unless it is stopping."""
        mine = self._said()
        self._sharing.say(mine)
        if stopping:
            return
        for key in list(self._open):
            try:
                run = self._runs.current(*key)
            except Unavailable:
                continue
            if run.over:
                self._open.pop(key, None)
            elif key in self._carried:
                self._give_up_twin(key, run, mine)
            elif (
                self._sharing.free(key) and self._sharing.chosen(key, run.agent_id, mine) == self._sharing.me
            ):
                self.adopt(key, run)
        if self._sharing.crowded(mine):
            self._crew.dismiss_one()

    def adopt(self, key: Key, run: Run) -> None:
        """Carry a run from here on, with the agent it has."""
        if run.has_its_agent:
            self._crew.hold(key[0], run.agent_id, key[1])
        self._carry(*key)

    def give_away(self, carried: Carried) -> bool:
        """The agent is at another replica, and so shall the run be; False when that is gone again."""
        key = (carried.tenant, carried.run_id)
        run = self._runs.current(*key)
        if not self._sharing.give(key, run.agent_id, self._said()):
            return False
        self._let_go(carried, run)
        self._sharing.say(self._said())
        return True

    def _give_up_twin(self, key: Key, run: Run, mine: Said) -> None:
        """Two carry it: one of them lets go, and both know which."""
        if self._sharing.claimed(key) and self._sharing.chosen(key, run.agent_id, mine) != self._sharing.me:
            carried, task = self._carried[key]
            if not carried.ending:
                self._let_go(carried, run)
                task.cancel()

    def _let_go(self, carried: Carried, run: Run) -> None:
        self._carried.pop((carried.tenant, carried.run_id), None)
        self._crew.release(carried.tenant, run.agent_id, carried.run_id)

    def _said(self) -> Said:
        crews = self._crew.crews
        runs = frozenset(key for key, (_, task) in self._carried.items() if not task.done())
        return Said(self._crew.seats, frozenset(crews), runs, sum(crews.values()))

    def _bound_to(self, tenant: str, agent_id: str) -> str:
        run_id = self._bound.get((tenant, agent_id), "")
        try:
            return run_id if run_id and self._runs.current(tenant, run_id).has_its_agent else ""
        except Unavailable:
            return ""  # nobody here goes on with it; as long as somebody else does, the lock is theirs
