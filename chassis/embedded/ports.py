"""Ports: free or taken, and by whom."""

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that something will listen on, and the setting that moves it."""

    number: int
    setting: str
    purpose: str
    hint: str = ""


def troubles(host: str, ports: Iterable[Port]) -> Iterator[str]:
    """One line for each port that two of us claim or that somebody else holds."""
    claimed: dict[int, Port] = {}
    for port in ports:
        other = claimed.setdefault(port.number, port)
        if other is not port:
            both = f"{other.purpose} ({other.setting}) and {port.purpose} ({port.setting})"
            yield f"port {port.number} is set for both {both}"
        elif not _is_free(host, port.number):
            by = _holder(port.number)
            advice = port.hint or f"set {port.setting} to another"
            yield f"port {port.number} for {port.purpose} is taken{f' by {by}' if by else ''}: end that, or {advice}"


def _is_free(host: str, number: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no holders
        try:
            probe.bind((host, number))
        except OSError:
            return False
    return True


def _holder(number: int) -> str:
    """`pid 123 (python3 -m http.server)`, "" when it is not ours to see."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(number)}
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = any(str(each.readlink()) in inodes for each in (process / "fd").iterdir())
            if held:
                command = (
                    (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                )
                return f"pid {process.name} ({command[:80]})"
        except OSError:
            continue  # somebody else's, or gone meanwhile
    return ""


def _listening_inodes(number: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # sl local_address rem_address st … inode: proc(5)
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == number:
                yield fields[9]
