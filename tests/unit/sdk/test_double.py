"""The double for users' own tests answers as Provost does: the conformance script, as far as a double goes; it
tries agents, too."""

import asyncio
import json
from typing import Any

import pytest

from provost.orchestrator.v1 import orchestrator_pb2 as pb
from provost_sdk import Provost, ProvostError
from provost_sdk.models import word
from provost_sdk.sync import Client
from provost_sdk.testing import RULES, Double, Rule
from provost_sdk.testing.door import Caller
from tests.conformance.given import LOG, SCRIPT, expected
from tests.conformance.python import Runner, answered
from tests.fakes.process import free_port
from tests.unit.sdk import sync_stub
from tests.vectors.ledger import FILE as VECTORS

STEPS: dict[str, Any] = json.loads(SCRIPT.read_text("utf-8"))
BEYOND = {"watch", "prove", "prove_tampered"}
"""What asks for the log: a double keeps none."""
FORBIDDEN = Rule("ansible.*", "DENY", "FORBIDDEN_BY_PACKET", "packet.forbidden")
LOST = "kernel: Out of memory: Killed process 1 (java)"


def given(double: Double) -> dict[str, Any]:
    keys = {role: double.key(role) for role in ("viewer", "operator", "approver", "admin")}
    return {
        "address": double.address,
        "keys": {**keys, "other": "key-elsewhere", "wrong": "no-such-key-at-all", "nobody": ""},
        "closed_address": f"127.0.0.1:{free_port()}",
        "vectors": str(VECTORS),
        "values": {
            "run": "double",
            "log": LOG,
            "agent": "sre-5",
            "agent_run": "r",
            "task": "t",
            "session_token": "session-of-sre-5",
            "assisted": "sre-4",
            "operator_name": "key:operator",
        },
    }


async def test_a_double_and_provost_answer_the_same_script_alike() -> None:
    callers = {"key-elsewhere": Caller("key:elsewhere", "viewer", tenant="elsewhere")}
    async with Double(rules=(FORBIDDEN, *RULES), callers=callers) as double:
        runner = Runner(given(double))
        steps = [each for each in STEPS["steps"] if each["call"] not in BEYOND]
        found = [await answered(runner, step) for step in steps]
        wanted = {each["step"]: each for each in expected(STEPS, given(double))}
    assert len(steps) == len(STEPS["steps"]) - len(BEYOND)
    for each in found:
        assert each == wanted[each["step"]]


async def test_two_doubles_make_the_same_of_the_same_request() -> None:
    async def run() -> pb.Run:
        async with Double() as double, Provost(double.address, double.key("operator")) as provost:
            await provost.process_log(LOST)
            return await provost.process_log(LOST, mode="assisted", request_id="once")

    assert await run() == await run()


async def test_an_attached_agent_is_given_its_runs_and_revoked() -> None:
    async with Double() as double, Provost(double.address, double.key("operator")) as provost:
        session = await provost.open_session("mine.role", "any secret")
        said: asyncio.Queue[pb.AttachAgentRequest | None] = asyncio.Queue()
        said.put_nowait(
            pb.AttachAgentRequest(hello=pb.AttachAgentRequest.Hello(session_token=session.session_token))
        )

        async def saying() -> Any:
            while (each := await said.get()) is not None:
                yield each

        async def work() -> None:
            async for told in provost._orchestrator.AttachAgent(saying()):
                if told.HasField("task"):
                    assert told.task.log == LOST.encode()
                    proposal = pb.Proposal(run_id=told.task.run_id)
                    proposal.incident.cause = "mine"
                    said.put_nowait(pb.AttachAgentRequest(proposal=proposal))

        working = asyncio.create_task(work())
        await double.agents.attached("mine")
        run = await provost.process_log(LOST, agent="mine")
        assert (word(run, "state"), run.incident.cause) == ("COMPLETED", "mine")
        double.agents.revoke("mine")
        with pytest.raises(Exception, match="agent mine was revoked"):
            await working
        assert (await provost.process_log(LOST, agent="mine")).reason == "AGENT_PREVIOUSLY_REVOKED"


async def test_the_client_that_waits_offers_the_same() -> None:
    async with Double() as double:

        def waits() -> list[str]:
            with Client(double.address, double.key("operator")) as provost:
                run = provost.process_log(LOST)
                with pytest.raises(ProvostError) as refused:
                    provost.get_run("nobody")
                with pytest.raises(ProvostError) as unheard:
                    next(provost.watch_events())
                with pytest.raises(AttributeError):
                    provost.no_such_call()  # type: ignore[attr-defined]
                provost.close()
            return [run.incident.cause, refused.value.reason, type(unheard.value).__name__]

        assert await asyncio.to_thread(waits) == ["memory", "RUN_UNKNOWN", "ProvostError"]


def test_the_types_of_the_client_that_waits_are_those_of_the_other() -> None:
    again = "python -m tests.unit.sdk.sync_stub"
    assert sync_stub.FILE.read_text("utf-8") == sync_stub.rendered(), f"sync.pyi is old: {again}"
