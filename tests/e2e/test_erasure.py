"""A subject is erased: its words are nowhere on any disk, and everything that was proved still is."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2 as httpx
import pytest

from provost_sdk.client import Provost
from tests.e2e.conftest import client
from tests.e2e.embedded.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CANARY = "zyxcanaryquux"
WORDS = "quuxcommentzyx"
T = TypeVar("T")
LINES = [
    f"Jan 10 10:01:{n:02d} web sshd[{4000 + n}]: Failed password for {CANARY} from 203.0.113.77 port 4{n:03d} ssh2"
    for n in range(30)
]
OOM = [
    f"Jan 10 10:02:00 web kernel: Out of memory: Killed process 4242 ({CANARY}) total-vm:8123456kB, anon-rss:7000000kB",
    f"Jan 10 10:02:01 web systemd[1]: {CANARY}.service: Main process exited, code=killed, status=9/KILL",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provost") / "home"


@pytest.fixture(scope="module")
def provost(home: Path) -> Iterator[Embedded]:
    given = Embedded(home, RATE_LIMIT_REQUESTS="0")
    given.start()
    yield given  # the test stops it itself, to look at what is left on disk
    given.kill()
    given.until(lambda: not given.processes(), "all processes are gone")


def files_with(home: Path, *needles: bytes) -> list[str]:
    """Every file under `home` that holds one of `needles`."""
    return [
        f"{path.relative_to(home)}: {needle!r}"
        for path in home.rglob("*")
        if path.is_file()
        for content in [path.read_bytes()]
        for needle in needles
        if needle in content
    ]


def process(api: httpx.Client, log: str, **more: Any) -> dict[str, Any]:
    body = {"log": log, "llm_config": {"strategy": "reflective"}, **more}
    answer = api.post("/api/process_log", json=body)
    assert answer.status_code in (200, 202), answer.text
    run: dict[str, Any] = answer.json()
    return run


def as_auditor(provost: Embedded, question: Callable[[Provost], Awaitable[T]]) -> T:
    async def asked() -> T:
        address = f"127.0.0.1:{provost.environment['PROVOST_GATEWAY_PORT']}"
        async with Provost(address, provost.key("admin")) as given:
            return await question(given)

    return asyncio.run(asked())


def eventually(question: Callable[[], T], fits: Callable[[T], bool], what: str) -> T:
    end = time.monotonic() + 20
    while not fits(found := question()):
        assert time.monotonic() < end, f"still not: {what}: {found}"
        time.sleep(0.05)
    return found


def shown_until(api: httpx.Client, run_id: str, fits: Callable[[Any], bool], what: str) -> Any:
    """A run as it is told, once it `fits`."""
    return eventually(lambda: api.get(f"/api/runs/{run_id}").json(), fits, what)


async def exported(it: Provost) -> bytes:
    return b"".join([each.piece async for each in it.export_ledger()])


def test_what_was_erased_is_nowhere_and_what_was_proved_still_is(provost: Embedded, home: Path) -> None:
    log = "\n".join([*LINES, *OOM, ""])
    with client(provost, "operator") as api, client(provost, "approver") as approver:
        safe = process(api, log, subject="alice")
        auto = process(api, log, subject="alice", mode="auto")
        assisted = process(api, log, subject="alice", mode="assisted")
        other = process(api, log.replace(CANARY, "bystander"), subject="bob")
        for approval_id in assisted["waiting_for"]:
            answer = approver.post(f"/api/approvals/{approval_id}", json={"approve": True, "comment": WORDS})
            assert answer.status_code == 200, answer.text
            assert answer.json()["comment"] == WORDS
        own = process(api, log)
        objective = {"agent": "sre-2", "task": "t1", "objective": f"why is {CANARY} slow", "subject": "alice"}
        begun = api.post("/api/runs", json=objective).json()
        waits = process(api, log, subject="alice", mode="assisted")
        for run in (safe, auto, assisted, own, waits):
            assert CANARY in json.dumps(run["incident"]), "whoever may read it reads it"
        assert CANARY in begun["objective"]
        for run_id in (assisted["run_id"], begun["run_id"]):
            shown_until(api, run_id, lambda run: run["state"] == "COMPLETED", "the run is over")
        report = as_auditor(provost, lambda it: it.get_artifact(safe["report_sha256"]))
        assert CANARY in report.content.decode()

        # Sealed before it was published: it never stood on a disk, and the ledger opens what it tells.
        assert files_with(home, CANARY.encode(), WORDS.encode(), b"203.0.113.77") == []
        events = eventually(
            lambda: api.get("/api/events", params={"correlation_id": safe["run_id"]}).json()["items"],
            lambda found: found and found[0]["event_type"] == "RunEnded",
            "the ledger has the run",
        )
        planned = next(each for each in events if each["event_type"] == "PlanRecorded")
        assert CANARY in json.dumps(planned["payload"])
        before = as_auditor(provost, lambda it: it.prove_event(planned["event_id"]))
        head = as_auditor(provost, lambda it: it.tree_head())
        export = as_auditor(provost, exported)
        assert b"sealed:v1:" in export
        assert CANARY.encode() not in export, "an export holds what was published"

        admin = client(provost, "admin")
        erased = admin.post(
            "/api/erasures", json={"subject": "alice", "reason": "asked for it", "request_id": "e1"}
        )
        assert erased.status_code == 200, erased.text
        assert erased.json()["key_id"]
        for run in (safe, auto, assisted):
            shown = shown_until(
                api,
                run["run_id"],
                lambda shown: CANARY not in json.dumps(shown),
                "told without what was erased",
            )
            assert shown["state"] == "COMPLETED"
            assert shown["incident"]["summary"] == "[erased]"
            assert shown["incident"]["cause"] == run["incident"]["cause"]
        ended = shown_until(api, waits["run_id"], lambda run: run["state"] == "FAILED", "it ends")
        assert ended["outcome"]["reason"] == "SUBJECT_ERASED"
        approvals = json.dumps(api.get("/api/approvals", params={"state": "USED"}).json())
        assert WORDS not in approvals
        assert "[erased]" in approvals
        told = json.dumps(api.get("/api/events", params={"run_id": safe["run_id"], "page_size": 100}).json())
        assert CANARY not in told
        assert "[erased]" in told
        actions = api.get("/api/agent_actions", params={"run_id": auto["run_id"]}).json()["items"]
        assert actions
        assert {each["target"] for each in actions} == {"[erased]"}
        gone = as_auditor(provost, lambda it: it.get_artifact(safe["report_sha256"]))
        assert gone.content == b"[erased]"
        # Others are as they were, and a subject that was not erased by its name is a run's own.
        assert "bystander" in json.dumps(api.get(f"/api/runs/{other['run_id']}").json())
        assert CANARY in json.dumps(api.get(f"/api/runs/{own['run_id']}").json())

        after = as_auditor(provost, lambda it: it.prove_event(planned["event_id"]))
        assert (after.leaf_hash, after.payload) == (before.leaf_hash, before.payload)
        as_auditor(provost, lambda it: it.prove_growth(head.tree_head.tree_size, 0))
        assert api.post("/api/ledger/verify").json()["ok"]

        async def rebuilt(it: Provost) -> Any:
            return [each async for each in it.rebuild_ledger()][-1]

        last = as_auditor(provost, rebuilt)
        assert last.swapped, last.detail
        assert api.post("/api/ledger/verify").json()["ok"]
        again = process(api, log, subject="alice")
        assert CANARY in json.dumps(again["incident"]), "who comes back has another key"
        replay = api.get(f"/api/runs/{safe['run_id']}/replay")
        assert replay.status_code == 200
        assert CANARY not in replay.text
        admin.close()
    assert provost.stop() == 0
    assert files_with(home, CANARY.encode(), WORDS.encode(), b"203.0.113.77") == []
