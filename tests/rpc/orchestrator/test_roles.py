"""Who may start runs and see them: the orchestrator looks itself, whatever the gateway has let in."""

from pathlib import Path
from typing import Any

import pytest

from chassis import process
from chassis.rpc import client
from kernel.events import Cause
from kernel.faults import Denied, Invalid
from provost.orchestrator.v1 import orchestrator_pb2 as pb
from tests.rpc.orchestrator.test_attach import Served, served
from tests.unit.orchestrator.house import TENANT

STARTS = {"ProcessLog": pb.ProcessLogRequest(log=b"x"), "StartRun": pb.StartRunRequest()}
READS = {"GetRun": pb.GetRunRequest(run_id="r1"), "ListRuns": pb.ListRunsRequest()}


async def asked(it: Served, method: str, request: Any, *roles: str) -> Any:
    cause = Cause(TENANT, process.new_id(), "key:x", process.now())
    return await client.call(getattr(it.stub, method), request, cause, roles=roles)


async def test_runs_are_started_by_operators_and_seen_by_whoever_has_a_role(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for method, request in (STARTS | READS).items():
            for role in ("", "guest", *(("viewer", "approver", "auditor") if method in STARTS else ())):
                with pytest.raises(Denied) as refused:
                    await asked(it, method, request, role)
                assert refused.value.reason == "ROLE_MISSING", (method, role)
        for role in ("operator", "admin", "service"):
            with pytest.raises(Invalid):  # let in: what is asked for is looked at
                await asked(it, "StartRun", STARTS["StartRun"], role)
        assert await asked(it, "ListRuns", READS["ListRuns"], "viewer") == pb.ListRunsResponse()


async def test_a_list_of_runs_is_asked_for_in_words_that_there_are(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for request in (pb.ListRunsRequest(page_size=-1), pb.ListRunsRequest(state=99)):  # type: ignore[arg-type]
            with pytest.raises(Invalid) as refused:
                await asked(it, "ListRuns", request, "viewer")
            assert refused.value.reason == "FIELD_INVALID"
