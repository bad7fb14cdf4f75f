"""What plugs into state's ports: the store, where artifacts lie, the log and its history."""

from services.state.adapters.aggregates import aggregates_over
from services.state.adapters.artifacts import artifacts_in
from services.state.adapters.contents import ArtifactDirectory
from services.state.adapters.forgetting import forgetting_after
from services.state.adapters.history import LogHistory
from services.state.adapters.objects import ArtifactObjects
from services.state.adapters.sequencing import SequencingLog
from services.state.adapters.store import RedisStore

__all__ = [
    "ArtifactDirectory",
    "ArtifactObjects",
    "LogHistory",
    "RedisStore",
    "SequencingLog",
    "aggregates_over",
    "artifacts_in",
    "forgetting_after",
]
