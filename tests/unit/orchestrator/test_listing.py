"""Runs in pages, newest first."""

import pytest

from kernel.faults import Invalid
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
