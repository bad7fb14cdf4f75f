"""What a watch is told, as bytes: encoded once, whoever reads it.

Messages of protobuf that stand one behind the other are one message, so that an answer is put together from changes
that are encoded already, and from a cursor.
"""

from typing import Any

from chassis.mapping import Mapper
from provost.state.v1 import state_pb2 as pb
from services.state.domain.board import Entry
from services.state.domain.checkpoints import Checkpoint
from services.state.domain.revocation import AgentRevoked
from services.state.domain.snapshot import AgentSnapshot
from services.state.domain.task import Artifact, Handoff
from services.state.domain.watching import Acknowledgement, Mail, Shown, Thing
from services.state.wire.records import MESSAGE

_KINDS: dict[type[Thing], tuple[str, Mapper[Any, Any]]] = {
    AgentSnapshot: ("agent", Mapper(AgentSnapshot, pb.AgentSnapshot)),
    Entry: ("entry", Mapper(Entry, pb.Entry)),
    Acknowledgement: ("acknowledgement", Mapper(Acknowledgement, pb.Acknowledgement)),
    Artifact: ("artifact", Mapper(Artifact, pb.Artifact)),
    Handoff: ("handoff", Mapper(Handoff, pb.Handoff)),
    Checkpoint: ("checkpoint", Mapper(Checkpoint, pb.Checkpoint)),
    AgentRevoked: ("revocation", Mapper(AgentRevoked, pb.Revocation)),
}


def change_to_wire(shown: Shown) -> bytes:
    """An answer of a watch with this change alone, to be put together with others."""
    what: Any
    if isinstance(shown.what, Mail):
        what = {"message": MESSAGE.to_message(shown.what.message), "unread_by": shown.what.unread_by}
    else:
        kind, mapper = _KINDS[type(shown.what)]
        what = {kind: mapper.to_message(shown.what)}
    change = pb.WatchResponse.Change(sequence=shown.sequence, **what)
    return pb.WatchResponse(changes=[change]).SerializeToString()


def end_to_wire(cursor: str, snapshot_complete: bool) -> bytes:
    """What stands at the end of an answer of a watch."""
    return pb.WatchResponse(cursor=cursor, snapshot_complete=snapshot_complete).SerializeToString()
