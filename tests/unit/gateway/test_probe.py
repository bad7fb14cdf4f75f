"""What a page of metrics says about lag."""

from services.gateway.adapters.probe import crew_on, lag_of, witnesses_on
from services.gateway.domain.records import Component

PAGE = """# HELP provost_follower_lag_events Events still to be read.
# TYPE provost_follower_lag_events gauge
provost_follower_lag_events{follower="policy"} 3.0
provost_follower_lag_events{follower="other"} 1.2e+04
provost_follower_lag_seconds{follower="policy"} 0.1
"""


def test_the_follower_that_is_most_behind_counts() -> None:
    assert lag_of(PAGE) == (12_000, "")


def test_a_follower_that_has_not_been_at_the_end_for_long_does_not_know() -> None:
    page = 'provost_follower_lag_events{{follower="x"}} {}\nprovost_follower_lag_seconds{{follower="x"}} 31\n'
    assert lag_of(page.format(0)) == (-1, "last at the end of the log 31.0 s ago")
    assert lag_of(page.format(9)) == (9, "last at the end of the log 31.0 s ago")


def test_whoever_follows_nothing_is_not_behind() -> None:
    assert lag_of("process_cpu_seconds_total 1.0\n") == (0, "it follows nothing")


def test_a_crew_of_which_nobody_is_there_is_told_of() -> None:
    page = PAGE + 'provost_agents_attached{kind="own"} 0.0\nprovost_agents_attached{kind="built_in"} '
    assert "no agent of the built-in crew" in crew_on(page + "0.0\n")
    assert crew_on(page + "8.0\n") == crew_on(PAGE) == ""


WITNESSED = """provost_ledger_witness_behind_events{witness="w.example/1"} 0.0
provost_ledger_witness_behind_events{witness="w.example/2"} 12.0
provost_ledger_witness_behind_events{witness="w.example/3"} 5.0
provost_ledger_witness_answers{witness="w.example/1"} 1.0
provost_ledger_witness_answers{witness="w.example/2"} 0.0
provost_ledger_witness_answers{witness="w.example/3"} 1.0
provost_ledger_witness_refuses{witness="w.example/1"} 0.0
provost_ledger_witness_refuses{witness="w.example/2"} 0.0
provost_ledger_witness_refuses{witness="w.example/3"} 1.0
"""


def test_how_it_stands_with_witnesses_is_read_from_the_ledgers_page() -> None:
    one, two, three = witnesses_on(PAGE + WITNESSED)
    assert one == Component("witness w.example/1", True, 0, "")
    assert (two.healthy, two.lag_events, two.detail) == (False, 12, "it does not answer the ledger")
    assert (three.healthy, three.lag_events) == (False, 5)
    assert "another history" in three.detail
    assert witnesses_on(PAGE) == []
