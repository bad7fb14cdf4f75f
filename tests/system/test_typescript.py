"""The TypeScript package: what is committed is what the protos render to; its agent goes through the lifecycle, is
stopped and revoked, and its watch loses nothing, on Node and on Bun."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from provost.ledger.v1 import ledger_pb2
from provost_sdk import Provost
from provost_sdk.history_calls import gather
from provost_sdk.models import word
from tests.conformance.given import LOG
from tests.e2e.embedded.embedded import REPOSITORY, Embedded
from tests.system.conftest import TYPESCRIPT

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

Programs = dict[str, dict[str, list[str]]]
PHASES = ["BOOTSTRAP", "PREFLIGHT", "PLAN", "EXECUTE", "VERIFY", "PACKAGE", "REPORT", "EXIT"]
WAIT_SECONDS = 60.0
RUNTIMES = pytest.mark.parametrize("runtime", ["node", "bun"])


def test_types_hold_and_the_package_is_built(bun: Path, tmp_path: Path) -> None:
    tsc = [str(TYPESCRIPT / "node_modules" / ".bin" / "tsc"), "-p"]
    for more in ([str(TYPESCRIPT)], [str(TYPESCRIPT / "tsconfig.build.json"), "--outDir", str(tmp_path)]):
        command = [*tsc, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
    exported = json.loads((TYPESCRIPT / "package.json").read_text())["exports"]["."]
    for path in exported.values():
        assert (tmp_path / Path(path).relative_to("dist")).exists(), path


def test_what_is_committed_is_what_the_protos_render_to(bun: Path, tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "render-typescript", f"OUT={tmp_path}"], cwd=REPOSITORY, check=True)
    committed = TYPESCRIPT / "src" / "gen"
    found, fresh = (
        {path.relative_to(place): path.read_text() for path in place.rglob("*.ts")}
        for place in (committed, tmp_path)
    )
    assert found == fresh, "sdk/typescript/src/gen is not what protos/ render to: make gen-typescript"


class Running:
    """A program that says what happens to it, a line of JSON each."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    async def until(self, what: str, **facts: str) -> dict[str, Any]:
        """The next thing of that kind it says, with these facts."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while line := await self.process.stdout.readline():
                self.said.append(json.loads(line))
                if self.said[-1]["what"] == what and facts.items() <= self.said[-1].items():
                    return self.said[-1]
        raise AssertionError(f"it ended and never said {what}: {self.said}")

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def started(command: list[str], address: str, secrets: Mapping[str, str]) -> AsyncIterator[Running]:
    environment = {"PATH": os.environ["PATH"], "PROVOST_ADDRESS": address, **secrets}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def clients(running: Embedded, *roles: str) -> list[Provost]:
    return [Provost(running.run_json()["grpc"], running.key(role)) for role in roles]


async def phases_of(provost: Provost, run_id: str) -> list[str]:
    """The phases that a run's events tell of, in the order in which they are first named."""
    wanted = ledger_pb2.EventFilter(run_id=run_id)
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = await provost.list_events(wanted, oldest_first=True, page_size=200)
            if any(each.event_type == "RunEnded" for each in answer.events):
                break
    told = [
        json.loads(each.payload_json)
        for each in answer.events
        if each.event_type in ("RunPhaseEntered", "AgentAdvanced")
    ]
    # The first change of phase is recorded with the one it ends: state is told of it a moment earlier.
    told.sort(key=lambda each: each["at"])
    return list(dict.fromkeys(each["phase"].removeprefix("PHASE_") for each in told))


@RUNTIMES
async def test_an_agent_goes_from_bootstrap_to_exit_and_is_revoked(
    runtime: str, running: Embedded, programs: Programs
) -> None:
    name = f"typescript-{runtime}"
    admin, operator = clients(running, "admin", "operator")
    async with admin, operator:
        await admin.register_agent(name, "T1", version="example-1")
        if runtime == "node":
            made = await admin.create_secret(name)
            secrets = {"PROVOST_ROLE_ID": made.role_id, "PROVOST_SECRET_ID": made.secret_id}
        else:
            wrapped = await admin.create_secret(name, wrap_seconds=60)
            secrets = {"PROVOST_WRAPPING_TOKEN": wrapped.wrapping_token}
        address = running.run_json()["grpc"]
        async with started(programs[runtime]["agent"], address, secrets) as agent:
            assert (await agent.until("attached"))["agentId"] == name
            run = await operator.process_log(LOG, mode="auto", agent=name)
            assert (word(run, "state"), word(run, "phase")) == ("COMPLETED", "EXIT"), run
            assert [each.reason for each in run.decisions] == ["ALLOWED_BY_TIER"]
            assert [word(each, "state") for each in run.effects] == ["SUCCEEDED"]
            assert [each.line for each in run.incident.evidence] == [2]
            assert await phases_of(operator, run.run_id) == PHASES
            await agent.until("proposed", runId=run.run_id)
            await agent.until("beat")

            again = running.restarts_of("gateway")
            os.kill(running.run_json()["pids"]["gateway"], signal.SIGKILL)
            assert (await agent.until("detached"))["reason"] == "GATEWAY_UNREACHABLE"
            running.until_restarted("gateway", again)
            await agent.until("attached")
            quiet = await operator.process_log("all is well", agent=name)
            assert (word(quiet, "state"), quiet.incident.cause) == ("COMPLETED", "none")

            # Whatever stands before its first word is part of a line.
            marked = await operator.process_log("\ufeffOut of memory: Killed process 7 (java)\n", agent=name)
            assert [each.line for each in marked.incident.evidence] == [1], marked

            receipt = (await operator.revoke(name, reason="its work is done")).receipt
            assert {each.surface: each.ended for each in receipt.lost}["streams"] == 1
            assert (await agent.until("ended"))["reason"] == "AGENT_REVOKED"
            assert await agent.ended() == 3
        refused = await operator.process_log(LOG, agent=name)
        assert (word(refused, "state"), refused.reason) == ("REFUSED", "AGENT_PREVIOUSLY_REVOKED")


@RUNTIMES
async def test_an_agent_stops_when_it_is_asked_and_does_not_try_with_wrong_secrets(
    runtime: str, running: Embedded, programs: Programs
) -> None:
    name = f"stopping-{runtime}"
    (admin,) = clients(running, "admin")
    async with admin:
        await admin.register_agent(name, "T1")
        made = await admin.create_secret(name)
    address = running.run_json()["grpc"]
    secrets = {"PROVOST_ROLE_ID": made.role_id, "PROVOST_SECRET_ID": made.secret_id}
    async with started(programs[runtime]["agent"], address, secrets) as agent:
        await agent.until("attached")
        agent.process.send_signal(signal.SIGTERM)
        await agent.until("stopped")
        assert await agent.ended() == 0
    async with started(
        programs[runtime]["agent"], address, {**secrets, "PROVOST_SECRET_ID": "guessed"}
    ) as agent:
        assert (await agent.until("ended"))["reason"] == "CREDENTIALS_REFUSED"
        assert await agent.ended() == 3


@RUNTIMES
async def test_a_watch_tells_every_event_once_though_the_gateway_dies(
    runtime: str, running: Embedded, programs: Programs
) -> None:
    operator, viewer = clients(running, "operator", "viewer")
    async with operator, viewer:
        environment = {
            "PATH": os.environ["PATH"],
            "PROVOST_ADDRESS": running.run_json()["grpc"],
            "PROVOST_API_KEY": running.key("viewer"),
        }
        process = await asyncio.create_subprocess_exec(
            *programs[runtime]["watch"],
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        told: list[int] = []

        async def heard(line: str) -> None:
            async with asyncio.timeout(WAIT_SECONDS):
                while told_line := (await process.stdout.readline()).decode():  # type: ignore[union-attr]
                    told.append(int(told_line.split()[0]))
                    if re.fullmatch(line, told_line.rstrip()):
                        return
            raise AssertionError("the watch ended")

        try:
            for number in range(2):
                run = await operator.process_log(LOG, request_id=f"watched-{runtime}-{number}")
                await heard(rf"{run.sequence} RunEnded by .*")
                if not number:
                    again = running.restarts_of("gateway")
                    os.kill(running.run_json()["pids"]["gateway"], signal.SIGKILL)
                    running.until_restarted("gateway", again)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WAIT_SECONDS):
                _, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, complaints
        assert b"interrupted: " in complaints
        rows = await gather(
            lambda size, token: viewer.list_events(oldest_first=True, page_size=size, page_token=token),
            100_000,
        )
        assert told == [each.sequence for each in rows][: len(told)]


async def test_the_example_of_the_documentation_says_what_is_written_there(
    bun: Path, running: Embedded, tmp_path: Path
) -> None:
    document = (REPOSITORY / "docs" / "clients.md").read_text("utf-8")
    ((program, said),) = re.findall(
        r"^```ts\n(.*?)^```\n\n```text\n(.*?)^```", document, re.DOTALL | re.MULTILINE
    )
    source = tmp_path / "example.ts"
    source.write_text(program.replace('"@provost/sdk"', json.dumps(str(TYPESCRIPT / "src" / "index.ts"))))
    (viewer,) = clients(running, "viewer")
    async with viewer:
        key = (await viewer.tree_head()).verifier_key
    environment = {
        "PATH": os.environ["PATH"],
        "PROVOST_ADDRESS": running.run_json()["grpc"],
        "PROVOST_API_KEY": running.key("operator"),
        "PROVOST_LOG_KEY": key,
    }
    process = await asyncio.create_subprocess_exec(
        bun, "run", source, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT_SECONDS):
        heard, _ = await process.communicate()
    assert heard.decode() == said


async def test_a_timeout_of_zero_is_none(bun: Path, running: Embedded, tmp_path: Path) -> None:
    source = tmp_path / "patient.ts"
    source.write_text(
        f"""import {{ Provost }} from {json.dumps(str(TYPESCRIPT / "src" / "index.ts"))};
const address = process.env.PROVOST_ADDRESS!, key = process.env.PROVOST_API_KEY!;
const log = "kernel: Out of memory: Killed process 4242 (java)";
await using once = new Provost({{ address, key }});
await using always = new Provost({{ address, key, timeoutMs: 0 }});
const run = await once.processLog(log, {{}}, {{ timeoutMs: 0 }});
console.log(run.reason, (await always.getRun(run.runId)).reason);
"""
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PROVOST_ADDRESS": running.run_json()["grpc"],
        "PROVOST_API_KEY": running.key("operator"),
    }
    command = [str(bun), "run", str(source)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "COMPLETED COMPLETED\n", done.stderr
