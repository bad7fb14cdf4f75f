"""drain3 beside us, in an environment of its own: `peer.py` run by the interpreter of `.venv-drain3`.

Reads one JSON request a line ({"lines": [...], "mask": pattern or null}), answers one ({"groups": [...],
"seconds": s}).
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]


class Answer(NamedTuple):
    """The group of each line, and how long it took."""

    groups: list[int]
    seconds: float


class Peer:
    """A running drain3. Leaves nothing behind."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def mine(self, lines: list[str], mask: str | None = None) -> Answer:
        """Groups lines by a fresh drain3 with its default configuration, with a mask if one is given."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"lines": lines, "mask": mask}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Answer(answer["groups"], answer["seconds"])

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def peer() -> Peer | None:
    """A drain3 from `.venv-drain3` or this environment; None when there is neither."""
    for python in (ROOT / ".venv-drain3" / "bin" / "python", Path(sys.executable)):
        if python.is_file():
            asked = subprocess.run([str(python), "-c", "import drain3"], capture_output=True, check=False)
            if asked.returncode == 0:
                return Peer(python)
    return None


def serve() -> None:
    """The other side: drain3 itself."""
    from drain3 import TemplateMiner  # type: ignore[import-not-found]
    from drain3.masking import MaskingInstruction  # type: ignore[import-not-found]
    from drain3.template_miner_config import TemplateMinerConfig  # type: ignore[import-not-found]

    for request in map(json.loads, sys.stdin):
        config = TemplateMinerConfig()
        if request["mask"]:
            config.masking_instructions = [MaskingInstruction(request["mask"], "*")]
        miner = TemplateMiner(config=config)
        start = time.perf_counter()
        groups = [miner.add_log_message(line)["cluster_id"] for line in request["lines"]]
        seconds = time.perf_counter() - start
        sys.stdout.write(json.dumps({"groups": groups, "seconds": seconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
