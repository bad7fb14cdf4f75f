"""One filter for several: what a consumer is asked for."""

import pytest

from chassis.eventlog.subjects import matching, together


@pytest.mark.parametrize(
    ("filters", "one"),
    [
        (["evt.>"], "evt.>"),
        (["evt.*.policy.agent.*.*", "evt.*.policy.approval.*.*"], "evt.*.policy.*.*.*"),
        (["evt.*.state.>", "evt.*.policy.agent.*.AgentRevoked"], "evt.*.*.>"),
    ],
)
def test_together_covers_all_and_no_more_than_it_must(filters: list[str], one: str) -> None:
    assert together(filters) == one
    covers = matching([one])
    for each in filters:
        assert covers(each.replace("*", "x").replace(">", "a.b.c"))
