"""What state does when asked: look up, decide, append; and what it reads.

Locks are decided on by the log's own aggregates, never by the store, so that nobody gains one by emptying it. Reads
come from the store, after everything that this process knows of has been applied to it.
"""

from kernel.ports import Following
from services.state.domain.view import View
from services.state.handlers.agents import Agents, Standing
from services.state.handlers.kept import Kept
from services.state.handlers.tasks import Content, Tasks
from services.state.ports import Audit, Contents, Mirror

__all__ = ["Content", "Kept", "Standing", "State"]


class State:
    """The service: one part per kind of thing it keeps."""

    def __init__(
        self, kept: Kept, view: View, mirror: Mirror, audit: Audit, following: Following, contents: Contents
    ) -> None:
        self.agents = Agents(kept, view, mirror, following)
        self.tasks = Tasks(kept, view, mirror, following, contents)
        self.audit = audit
