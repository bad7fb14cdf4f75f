"""What plugs into state's ports: the store, the artifact directory, the log and its history."""

from services.state.adapters.contents import ArtifactDirectory
from services.state.adapters.history import LogHistory
from services.state.adapters.kept import kept_over
from services.state.adapters.sequencing import SequencingLog
from services.state.adapters.store import RedisStore

__all__ = ["ArtifactDirectory", "LogHistory", "RedisStore", "SequencingLog", "kept_over"]
