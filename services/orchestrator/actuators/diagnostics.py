"""Local diagnostics (T0): memory, disk, processes, sockets, unit state. They read /proc and ask systemd; no shell."""

import asyncio
import os
import re
import shutil
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.orchestrator.actuators.actuator import ActuatorFailed, Finding, Offer, Parameter
from services.orchestrator.actuators.command import run
from services.orchestrator.domain.records import Action, Tier

UNIT = Parameter(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,254}"),
    "a systemd unit, as `sshd` or `nginx.service`",
    required=True,
)
_TCP_STATES = {"01": "ESTABLISHED", "02": "SYN_SENT", "06": "TIME_WAIT", "08": "CLOSE_WAIT", "0A": "LISTEN"}
# Those of other machines are left out: while theirs does not answer, whoever asks about one hangs.
_OWN_FILESYSTEMS = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "overlay", "vfat", "f2fs", "tmpfs"}
)
_TOP = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """A diagnostic that reads the kernel's own files."""

    offer: Offer
    source: str
    read: Callable[[], Finding]

    def unavailable(self) -> str:
        return "" if Path("/proc/meminfo").exists() else "this machine has no /proc"

    def preview(self, action: Action) -> str:
        return f"read {self.source}"

    async def perform(self, action: Action) -> Finding:
        try:
            return await asyncio.to_thread(self.read)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ActuatorFailed(
                "ACTUATOR_FAILED", f"{self.source} cannot be read: {type(error).__name__}"
            ) from None


def memory() -> Finding:
    """Memory and swap, from /proc/meminfo."""
    kib = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        kib[name] = int(rest.split()[0])
    total, available = kib["MemTotal"], kib.get("MemAvailable", kib["MemFree"])
    used = 100 * (total - available) / total
    swap_total, swap_free = kib.get("SwapTotal", 0), kib.get("SwapFree", 0)
    swap = f"{100 * (swap_total - swap_free) / swap_total:.0f} % of swap" if swap_total else "no swap"
    shown = "\n".join(f"{name} {kib[name] // 1024} MiB" for name in sorted(kib) if kib[name] >= 1024)
    return Finding(f"{used:.0f} % of {total // 1048576} GiB memory in use, {swap}", shown)


def disk(mounts: Path = Path("/proc/self/mounts")) -> Finding:
    """Space and inodes of this machine's own file systems that are mounted."""
    rows, seen = [], set()
    for line in mounts.read_text().splitlines():
        device, place, kind = line.split()[:3]
        place = place.replace("\\040", " ")
        if kind not in _OWN_FILESYSTEMS or not Path(place).is_dir():
            continue
        status = os.statvfs(place)
        if status.f_blocks == 0 or (device, status.f_fsid) in seen:
            continue
        seen.add((device, status.f_fsid))
        full = 100 * (1 - status.f_bavail / status.f_blocks)
        inodes = 100 * (1 - status.f_favail / status.f_files) if status.f_files else 0.0
        free_gib = status.f_bavail * status.f_frsize / 2**30
        rows.append((full, f"{place} {full:.0f} % full, {free_gib:.1f} GiB free, {inodes:.0f} % of inodes"))
    rows.sort(reverse=True)
    if not rows:
        raise ValueError("no file system")
    return Finding(rows[0][1], "\n".join(text for _, text in rows))


def processes() -> Finding:
    """How many there are, in which states, and the largest; names only, for arguments may hold secrets."""
    states: Counter[str] = Counter()
    sizes: list[tuple[int, str]] = []
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace")
            resident = int((entry / "statm").read_text().split()[1]) * page_kib
        except (OSError, IndexError):
            continue  # it ended while we looked
        name, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :]
        states[rest[0]] += 1
        sizes.append((resident, f"{name} (pid {entry.name}) {resident // 1024} MiB"))
    load = Path("/proc/loadavg").read_text().split()[:3]
    sizes.sort(reverse=True)
    stuck = f", {states['D']} waiting for disk" if states["D"] else ""
    zombies = f", {states['Z']} zombies" if states["Z"] else ""
    return Finding(
        f"{sum(states.values())} processes{stuck}{zombies}, load {' '.join(load)} on {os.cpu_count()} CPUs",
        "\n".join(text for _, text in sizes[:_TOP]),
    )


def sockets() -> Finding:
    """TCP sockets by state, and what listens where."""
    states: Counter[str] = Counter()
    listening: set[str] = set()
    for name in ("tcp", "tcp6"):
        path = Path("/proc/net") / name
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            states[_TCP_STATES.get(state, "other")] += 1
            if state == "0A":
                listening.add(_address(local))
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return Finding(
        counts or "no TCP sockets", "\n".join(f"listens on {place}" for place in sorted(listening))
    )


def _address(field: str) -> str:
    raw, port = field.split(":")
    if len(raw) == 8:
        host = socket.inet_ntop(socket.AF_INET, struct.pack("<I", int(raw, 16)))
    else:
        words = struct.pack("<4I", *(int(raw[i : i + 8], 16) for i in range(0, 32, 8)))
        host = f"[{socket.inet_ntop(socket.AF_INET6, words)}]"
    return f"{host}:{int(port, 16)}"


class UnitState:
    """What systemd says of one unit."""

    offer = Offer(
        "diagnostics.unit",
        Tier.T0_OBSERVER,
        "state of one systemd unit",
        read_only=True,
        parameters={"unit": UNIT},
    )

    def unavailable(self) -> str:
        return ""

    def preview(self, action: Action) -> str:
        return " ".join(self._argv(action))

    async def perform(self, action: Action) -> Finding:
        unit = action.parameters["unit"]
        if not _systemd_runs():
            return Finding(f"no systemd runs on this machine, so nothing is known of {unit}", "")
        ran = await run(self._argv(action), timeout_seconds=10)
        if ran.exit_code != 0:
            raise ActuatorFailed("ACTUATOR_FAILED", f"systemctl answered {ran.exit_code}", ran.output)
        facts = dict(line.split("=", 1) for line in ran.output.splitlines() if "=" in line)
        state = (
            f"{facts.get('LoadState', '?')}, {facts.get('ActiveState', '?')} ({facts.get('SubState', '?')})"
        )
        return Finding(f"{unit} is {state}, restarted {facts.get('NRestarts', '0')} times", ran.output)

    def _argv(self, action: Action) -> list[str]:
        wanted = "Id,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ActiveEnterTimestamp"
        return ["systemctl", "show", "--no-pager", f"--property={wanted}", "--", action.parameters["unit"]]


def _systemd_runs() -> bool:
    return shutil.which("systemctl") is not None and Path("/run/systemd/system").exists()


def _reading(name: str, what: str, source: str, read: Callable[[], Finding]) -> Reading:
    return Reading(Offer(f"diagnostics.{name}", Tier.T0_OBSERVER, what, read_only=True), source, read)


DIAGNOSTICS = (
    _reading("memory", "memory and swap in use", "/proc/meminfo", memory),
    _reading(
        "disk", "space and inodes of this machine's own file systems", "/proc/self/mounts and statvfs", disk
    ),
    _reading("processes", "processes, their states, the largest", "/proc/*/stat", processes),
    _reading("sockets", "TCP sockets by state, and who listens", "/proc/net/tcp", sockets),
    UnitState(),
)
