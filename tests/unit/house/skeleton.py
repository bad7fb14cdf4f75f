"""The smallest tree that has every room, so that each wall can be broken in it without touching the real one."""

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
SERVICES = ("policy", "state", "ledger", "orchestrator", "gateway")

_SHARED = {
    "kernel/__init__.py": "",
    "kernel/faults.py": "",
    "kernel/events.py": "from kernel.faults import Fault\n",
    "chassis/__init__.py": "",
    "chassis/config.py": "import os\n",
    "chassis/process.py": "import time\n",
    "chassis/telemetry.py": "import logging\n",
    "chassis/metrics.py": "import prometheus_client\n",
    "chassis/mapping.py": "from kernel.faults import Invalid\n",
    "chassis/store.py": "import redis\n",
    "chassis/rpc/__init__.py": "import grpc\n",
    "chassis/embedded/__init__.py": "",
    "chassis/eventlog/__init__.py": "",
    "chassis/eventlog/codec.py": "import google.protobuf\nfrom chassis.mapping import Mapper\n",
    "chassis/eventlog/jetstream.py": "import nats\nfrom provost.event.v1 import event_pb2\n",
    "chassis/eventlog/memory.py": "",
    "chassis/eventlog/follower.py": "",
    "sdk/python/provost_sdk/__init__.py": "",
    "sdk/python/provost_sdk/cli.py": "import typer\nfrom provost.gateway.v1 import gateway_pb2\n",
}

_ROOMS = {
    "__init__.py": "",
    "domain/__init__.py": "",
    "domain/agent.py": "import re\nfrom kernel.events import Stream\n",
    "ports.py": "from services.{s}.domain.agent import Agent\n",
    "handlers.py": "from services.{s}.ports import Agents\n",
    "wire.py": "from services.{s}.domain import agent\nfrom chassis.eventlog.codec import Codec\n"
    "from provost.{s}.v1 import {s}_pb2\n",
    "rpc.py": "import grpc\nfrom services.{s}.handlers import Service\nfrom services.{s}.wire import CODEC\n",
    "reactor.py": "from services.{s}.handlers import Service\n",
    "adapters/__init__.py": "",
    "adapters/peers.py": "import grpc\nfrom services.{s}.ports import Agents\n",
    "config.py": "from chassis.config import ServiceSettings\n",
    "__main__.py": "from services.{s}.config import Settings\nfrom services.{s} import rpc\n",
}

_PROCESS = {
    "__init__.py": "",
    "mine.py": "import re\n",
    "__main__.py": "from services.orchestrator.config import Settings\n",
}


def build(root: Path) -> None:
    """Write the tree, and the repository's own contracts, under `root`."""
    files = dict(_SHARED)
    for service in SERVICES:
        files |= {f"services/{service}/{path}": text.format(s=service) for path, text in _ROOMS.items()}
    for process in ("agents", "actuators"):
        base = f"services/orchestrator/{process}"
        files |= {f"{base}/{path}": text.format(p=process) for path, text in _PROCESS.items()}
    files |= {
        "services/ledger/witness/__init__.py": "",
        "services/ledger/witness/mine.py": "from provost_sdk import cli\n",
    }
    for package in (*SERVICES, "event", "error"):
        files[f"gen/provost/{package}/v1/{package}_pb2.py"] = "import google.protobuf\n"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
