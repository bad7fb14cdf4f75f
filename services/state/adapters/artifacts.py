"""Where artifacts lie, and where snapshots of the log's fold: side by side, in directories or in NATS."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from chassis.eventlog.wire import Connection
from services.state.adapters.contents import ArtifactDirectory
from services.state.adapters.objects import ArtifactObjects
from services.state.ports import Artifacts

ARTIFACTS, SNAPSHOTS = "ARTIFACTS", "SNAPSHOTS"


async def artifacts_in(
    where: Literal["directory", "nats"],
    directories: tuple[Path, Path],
    connection: Connection,
    new_name: Callable[[], str],
) -> tuple[Artifacts, Artifacts]:
    """Artifacts, and snapshots. Raises Unavailable, Exhausted."""
    if where == "directory":
        artifacts, snapshots = directories
        return ArtifactDirectory(artifacts, new_name), ArtifactDirectory(snapshots, new_name)
    return (
        await ArtifactObjects(connection, ARTIFACTS, new_name).open(),
        await ArtifactObjects(connection, SNAPSHOTS, new_name).open(),
    )
