"""Which logs a witness watches: verifier keys, several for one origin while a log's key is being changed."""

from collections.abc import Sequence
from pathlib import Path

from provost_sdk.note import Key, NotProved, read_key


class Trusted:
    """The keys in `setting`: a comma list, in which `@FILE` stands for the keys in a file, one to a line.

    A file is read again whenever it has changed, and one that is not there yet holds no keys.

    Raises:
        ValueError: a key in the list is none.
    """

    def __init__(self, setting: str) -> None:
        parts = [part for each in setting.split(",") if (part := each.strip())]
        self._keys = [_key(each) for each in parts if not each.startswith("@")]
        self._files = [_KeyFile(Path(each[1:])) for each in parts if each.startswith("@")]

    def of(self, origin: str) -> list[Key]:
        """The keys that may sign for the log `origin`; none when it is not watched."""
        return [key for key in self.all() if key.name == origin]

    def all(self) -> list[Key]:
        """Every key that is trusted now."""
        return [*self._keys, *(key for file in self._files for key in file.read())]


class _KeyFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._keys: Sequence[Key] = ()

    def read(self) -> Sequence[Key]:
        try:
            state = self._path.stat()
            seen = state.st_mtime_ns, state.st_size
            if seen != self._seen:
                lines = self._path.read_text(encoding="utf-8").splitlines()
                self._keys = [_key(line) for line in lines if line.strip() and not line.startswith("#")]
                self._seen = seen
        except FileNotFoundError:
            self._keys, self._seen = (), None
        except (OSError, ValueError):
            # What was read before still holds; a file that is being written is whole the next time.
            self._seen = None
        return self._keys


def _key(text: str) -> Key:
    try:
        return read_key(text)
    except NotProved as problem:
        raise ValueError(f"{text!r} is not the verifier key of a log: {problem}") from None
