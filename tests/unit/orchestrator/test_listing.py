"""Runs in pages, newest first."""

import os

import pytest

from kernel.faults import Invalid
from services.orchestrator.domain.phases import RunState
from services.orchestrator.domain.records import Mode
from services.orchestrator.domain.run import Run
from tests.unit.orchestrator.house import AGENT, TENANT, cause, house, peers


async def test_every_run_is_on_one_page_and_no_other_token_begins_again() -> None:
    async with house(peers()) as it:
        started = [
            (await it.orchestrator.start_run(AGENT, f"t{n}", "look", Mode.SAFE, None, "", cause(f"r{n}"))).run
            for n in range(5)
        ]
        pages, token = [], ""
        while True:
            views, token = await it.orchestrator.list_runs(TENANT, None, token, 2)
            pages.append([name(view.run) for view in views])
            if not token:
                break
        newest_first = [name(run) for run in reversed(started)]
        assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]
        for other in ("zzz", "0" * 32):
            with pytest.raises(Invalid) as refused:
                await it.orchestrator.list_runs(TENANT, None, other, 2)
            assert refused.value.reason == "PAGE_TOKEN_INVALID"
        with pytest.raises(Invalid):
            await it.orchestrator.list_runs("other", None, newest_first[0], 2)


def name(run: Run) -> str:
    assert run.known is not None
    return run.known.run_id


async def test_runs_that_are_over_are_listed_whole_by_how_they_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(peers()) as it:
        done = (await it.process(Mode.SAFE, "r1")).run
        held = (await it.process(Mode.ASSISTED, "r2")).run
        with monkeypatch.context() as none_is_read:
            none_is_read.delattr(os, "pread")
            views, _ = await it.orchestrator.list_runs(TENANT, RunState.WAITING, "", 5)
            assert [name(view.run) for view in views] == [name(held)]
            assert await it.orchestrator.list_runs(TENANT, RunState.FAILED, "", 5) == ([], "")
        views, _ = await it.orchestrator.list_runs(TENANT, RunState.COMPLETED, "", 5)
        assert views == [await it.orchestrator.get_run(TENANT, name(done), 1)]
        assert len(views[0].run.effects) == len(done.effects) > 0
        assert not it.conductor._waiters._settled, "somebody waits for what is over"
