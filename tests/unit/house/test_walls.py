"""Every wall between rooms is seen to break once: a contract that cannot fail guards nothing."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from tests.unit.house import skeleton

CONFIG = tomllib.loads((skeleton.REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract["name"] for contract in CONFIG["contracts"]}

BREAKS = [
    ("kernel", "kernel/events.py", "import time"),
    ("kernel", "kernel/new.py", "import grpc"),
    ("kernel", "kernel/new.py", "from chassis.config import ServiceSettings"),
    ("domain", "services/policy/domain/agent.py", "import asyncio"),
    ("domain", "services/state/domain/lock.py", "from google.protobuf import message"),
    ("domain", "services/ledger/domain/agent.py", "from provost.ledger.v1 import ledger_pb2"),
    ("domain", "services/orchestrator/domain/deep/run.py", "from chassis.process import now"),
    ("use-cases", "services/policy/handlers.py", "from chassis.process import now"),
    ("use-cases", "services/gateway/handlers/new.py", "import sqlalchemy"),
    ("use-cases", "services/state/ports.py", "from provost.state.v1 import state_pb2"),
    ("wire", "services/policy/wire/codec.py", "from chassis.rpc import server"),
    ("wire", "services/ledger/wire.py", "import nats"),
    ("rooms", "services/policy/domain/agent.py", "from services.policy.ports import Agents"),
    ("rooms", "services/policy/ports.py", "from services.policy.wire import CODEC"),
    ("rooms", "services/state/wire.py", "from services.state.handlers import Service"),
    ("rooms", "services/state/handlers.py", "from services.state.wire import CODEC"),
    ("rooms", "services/ledger/rpc.py", "from services.ledger.adapters import peers"),
    ("rooms", "services/gateway/utils.py", "import re"),
    ("services", "services/policy/adapters/peers.py", "from services.state.wire import CODEC"),
    ("agents", "services/orchestrator/agents/mine.py", "from services.orchestrator.domain import agent"),
    (
        "actuators",
        "services/orchestrator/actuators/run.py",
        "from services.orchestrator.handlers import Service",
    ),
    ("witness", "services/ledger/witness/mine.py", "from services.ledger.domain import agent"),
    ("chassis", "chassis/store.py", "from services.state.domain import agent"),
    ("chassis", "chassis/eventlog/codec.py", "from provost.policy.v1 import policy_pb2"),
    ("sdk", "sdk/python/provost_sdk/cli.py", "from kernel.faults import Fault"),
    ("settings", "services/policy/rpc/agents.py", "from services.policy.config import Settings"),
    (
        "settings",
        "services/orchestrator/agents/mine.py",
        "from services.orchestrator.config import Settings",
    ),
    ("tests", "services/policy/adapters/peers.py", "from tests.fakes import log"),
    ("circles", "kernel/faults.py", "from kernel.events import Stream"),
    ("circles", "chassis/mapping.py", "from chassis.eventlog.codec import Codec"),
]


LINT = """
import sys
tree, repository = ([root, root + "/gen", root + "/sdk/python"] for root in (sys.argv.pop(1), sys.argv.pop(1)))
# `services` and `provost` are namespace packages: the repository's own halves would join the tree's.
sys.path = tree + [path for path in sys.path if path and path not in repository]
from importlinter.cli import lint_imports_command
lint_imports_command()
"""


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """What `lint-imports` says of the tree under `root`, and of nothing else."""
    return subprocess.run(
        [sys.executable, "-c", LINT, root, skeleton.REPOSITORY, "--no-logo", "--no-cache"],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    skeleton.build(root)
    return root


def test_a_tree_that_keeps_the_rules_passes(whole: Path) -> None:
    result = lint(whole)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


def test_every_contract_is_broken_here() -> None:
    assert {contract for contract, _, _ in BREAKS} == set(CONTRACTS)


@pytest.mark.parametrize(("contract", "path", "line"), BREAKS, ids=[f"{c}: {p}: {i}" for c, p, i in BREAKS])
def test_a_break_is_named(whole: Path, tmp_path: Path, contract: str, path: str, line: str) -> None:
    root = tmp_path / "broken"
    shutil.copytree(whole, root)
    file = root / path
    if file.parent.with_suffix(".py").is_file():
        file.parent.with_suffix(".py").unlink()  # a room that grows into a folder
    file.parent.mkdir(exist_ok=True)
    (file.parent / "__init__.py").touch()
    with file.open("a") as source:
        source.write(line + "\n")

    result = lint(root)

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{CONTRACTS[contract]} BROKEN" in result.stdout, result.stdout


def test_every_contract_guards_something_real() -> None:
    """The skeleton has every room; the repository must have them under the same names."""
    graph = grimp.build_graph(*CONFIG["root_packages"], cache_dir=None)
    guarded = ("source_modules", "modules", "containers", "protected_modules", "ancestors")
    unmatched = [
        (contract["id"], expression)
        for contract in CONFIG["contracts"]
        for option in guarded
        for expression in contract.get(option, [])
        if not graph.find_matching_modules(expression)
    ]
    assert not unmatched
