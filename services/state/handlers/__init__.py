"""What state does when asked: look up, decide, append; and what it reads.

Locks are decided on by the log's own aggregates, never by the store, so that nobody gains one by emptying it. All that
the log has said is read from memory, so that nothing is missing because the store has lost it; heartbeats, which lie in
the store alone, are read there.

Where to look, each beginning with the file to open first:

* one agent: `agents`, `packets`; its lock: `locks`, with `turns` (who waits for it) and `fencing` (whose word counts)
* who gets nowhere: `attention`, judged by `vigil`
* what the agents of a task share: `boards`, `inboxes`, `tasks` (artifacts, handoffs), shown together by `overview`; who
  works on it, and what labels stick: `working`
* a run that goes on from where it stood: `checkpoints`
* a revocation: `losing`, which waits for what `writing` knows to be on its way
* watches: `watching`, each of them one of `watches`
* all that is decided on: `kept`
"""

from kernel.ports import Following
from services.state.domain.view import View
from services.state.handlers.agents import Agents
from services.state.handlers.attention import Activity, Attention
from services.state.handlers.boards import Boards
from services.state.handlers.checkpoints import CheckpointBook
from services.state.handlers.fencing import Fencing
from services.state.handlers.inboxes import Inboxes
from services.state.handlers.kept import Kept
from services.state.handlers.locks import Locks, Standing
from services.state.handlers.losing import Losing
from services.state.handlers.overview import Overview
from services.state.handlers.packets import Packets
from services.state.handlers.tasks import Content, Tasks
from services.state.handlers.turns import Turns
from services.state.handlers.vigil import Vigil
from services.state.handlers.working import Reader, Working
from services.state.handlers.writing import Writing
from services.state.ports import Audit, Clock, Contents, Mirror, Sets

__all__ = ["Activity", "Content", "Kept", "Reader", "Standing", "State", "Turns", "Vigil"]


class State:
    """The service: one part per kind of thing it keeps."""

    def __init__(
        self,
        kept: Kept,
        view: View,
        mirror: Mirror,
        audit: Audit,
        following: Following,
        contents: Contents,
        vigil: Vigil,
        turns: Turns,
        clock: Clock,
        sets: Sets,
    ) -> None:
        self.turns, self.following = turns, following
        writing = Writing(view)
        working = Working(kept, view, sets, following, writing)
        fencing = Fencing(kept, working, writing, clock)
        self.losing = Losing(kept, view, turns, writing, clock)
        self.locks = Locks(kept, view, turns, working, writing, clock)
        self.agents = Agents(kept, view, mirror, following, working, writing)
        self.attention = Attention(kept, self.agents, mirror, vigil, writing)
        self.packets = Packets(kept, view, following, working)
        self.tasks = Tasks(kept, view, following, contents, working, fencing)
        self.boards = Boards(kept, following, working, fencing)
        self.inboxes = Inboxes(kept, following, working, fencing)
        self.checkpoints = CheckpointBook(kept, view, following, working, fencing, self.tasks)
        self.overview = Overview(
            view, following, working, self.agents, self.tasks, self.boards, self.inboxes, self.locks
        )
        self.audit = audit
