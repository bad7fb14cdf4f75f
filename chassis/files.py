"""Files that hold secrets: made once, whole, and readable by their owner alone."""

import os
from collections.abc import Callable
from pathlib import Path


def private_directory(path: Path) -> Path:
    """`path`, made if need be, with mode 0700."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def create_once(path: Path, content: Callable[[], bytes]) -> None:
    """Write `content()` to `path` with mode 0600 unless it exists; whole or not at all, and only the first one wins."""
    if path.exists():
        return
    private_directory(path.parent)
    fresh = _beside(path)
    _write(fresh, content())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was quicker: its content counts
    finally:
        fresh.unlink()


def replace(path: Path, content: bytes) -> None:
    """Put `content` into `path`, mode 0600: readers see the old or the new, also after a crash."""
    fresh = _beside(path)
    _write(fresh, content)
    fresh.replace(path)


def read_secret(path: Path) -> bytes:
    """What `path` holds.

    Raises:
        PermissionError: others than its owner may read or write it.
    """
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} may be read by others: chmod 600 it, and make new keys if they did")
    return path.read_bytes()


def _beside(path: Path) -> Path:
    """A name that nobody else takes: in containers that share a folder, processes have the same number."""
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}")


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise
