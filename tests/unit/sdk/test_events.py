"""`provost events`: the newest and what comes, what was in a time; nothing twice, nothing missed, and how to go on."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from provost.ledger.v1 import ledger_pb2 as pb
from provost_sdk.cli.app import app
from provost_sdk.cli.filters import event_types
from provost_sdk.cloudevents import as_cloudevent
from provost_sdk.errors import Unreachable
from tests.unit.house.skeleton import REPOSITORY
from tests.unit.sdk.test_history import FakeProvost, event, provost

__all__ = ["provost"]


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["events", *arguments])


def listing(*sequences: int, token: str = "") -> pb.ListEventsResponse:
    return pb.ListEventsResponse(events=map(event, sequences), next_page_token=token)


def answer(cursor: str, *sequences: int) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(events=map(event, sequences), cursor=cursor)


def sequences(output: str) -> list[int]:
    return [int(json.loads(line)["logseq"]) for line in output.splitlines() if line.startswith("{")]


def test_the_last_ones_oldest_first(provost: type[FakeProvost]) -> None:
    provost.answers = {
        "watch_events": lambda *_, **__: [answer("c9")],
        "list_events": lambda *_, **__: listing(9, 8, 7),
    }
    result = invoke("tail", "--type", "RunStarted", "--agent", "sre-1", "-n", "3", "--json")
    assert (result.exit_code, sequences(result.stdout)) == (0, [7, 8, 9])
    assert json.loads(result.stdout.splitlines()[-1])["cursor"] == "c9.9"
    wanted = provost.asked[-1][1][0]
    assert (wanted.event_type, wanted.agent_id) == ("RunStarted", "sre-1")


@pytest.mark.parametrize(
    "typo", ["AgentRevokd", "agentrevoked", "provost.policy.v1.AgentRevokd", "provost.state.v1.AgentRevoked"]
)
def test_an_event_that_no_contract_knows_is_refused_with_those_that_are_like_it(
    provost: type[FakeProvost], typo: str
) -> None:
    for command in (
        ("events", "tail", "-f"),
        ("events", "replay"),
        ("ledger", "events"),
        ("ledger", "watch"),
    ):
        result = CliRunner().invoke(app, [*command, "--type", typo])
        assert result.exit_code == 2, command
        assert f"there is no event {typo}; AgentRevoked or" in result.stderr
    assert provost.asked == []


def test_an_event_has_a_full_name_too_and_every_one_that_is_documented_is_known(
    provost: type[FakeProvost],
) -> None:
    provost.answers = {"list_events": lambda *_, **__: listing(9)}
    assert invoke("replay", "--type", "provost.policy.v1.AgentRevoked").exit_code == 0
    assert provost.asked[-1][1][0].event_type == "AgentRevoked"
    documented = (REPOSITORY / "docs" / "events.md").read_text("utf-8")
    assert set(event_types()) == set(re.findall(r"^\| `([A-Z]\w+)` \|", documented, re.MULTILINE))


def test_the_last_ones_are_all_there_though_pages_are_short_or_empty(provost: type[FakeProvost]) -> None:
    pages = {"": listing(token="a"), "a": listing(9, token="b"), "b": listing(8, 7, token="c")}
    provost.answers = {
        "watch_events": lambda *_, **__: [answer("c9")],
        "list_events": lambda *_, page_token="", **__: pages[page_token],
    }
    assert sequences(invoke("tail", "-n", "3", "--json").stdout) == [7, 8, 9]
    assert sequences(invoke("tail", "-n", "3", "--limit", "2", "--json").stdout) == [7, 8]
    provost.answers["watch_events"] = lambda *_, **__: [answer("c8", 8), answer("c9", 9)]
    assert sequences(invoke("tail", "--from", "c7", "--json").stdout) == [8, 9]


def test_following_shows_each_once_though_it_was_in_both_and_the_watch_broke(
    provost: type[FakeProvost],
) -> None:
    watches: list[list[Any]] = [
        [answer("c5")],
        [answer("c5"), answer("c7", 6, 7), Unreachable("PEER_UNREACHABLE", "away")],
        [answer("c7"), answer("c9", 8, 9)],
    ]
    asked: list[str] = []

    def watch(_: Any, cursor: str = "", **__: Any) -> list[Any]:
        asked.append(cursor)
        return watches.pop(0)

    provost.answers = {"watch_events": watch, "list_events": lambda *_, **__: listing(6, 5)}
    result = invoke("tail", "--follow", "--json", "--limit", "5")
    assert (result.exit_code, sequences(result.stdout)) == (0, [5, 6, 7, 8, 9])
    assert asked == ["", "c5", "c7"]


def test_from_a_cursor_within_an_answer_to_what_was_there(provost: type[FakeProvost]) -> None:
    provost.answers = {
        "watch_events": lambda *_, **__: [answer("c5"), answer("c9", 6, 7, 8)],
        "list_events": lambda *_, **__: listing(8),
    }
    result = invoke("tail", "--from", "c5.6", "--json")
    assert (result.exit_code, sequences(result.stdout)) == (0, [7, 8])
    provost.answers["watch_events"] = lambda *_, **__: [answer("c9"), answer("c9")]
    assert invoke("tail", "--from", "c9", "--json").exit_code == 0
    assert invoke("tail", "--from", "c9.x").exit_code == 2


def test_interrupted_it_says_where_to_go_on(provost: type[FakeProvost]) -> None:
    def stopped(*_: Any, cursor: str = "", **__: Any) -> Any:
        yield answer("c1")
        yield answer("c3", 2, 3)
        raise KeyboardInterrupt

    provost.answers = {"watch_events": stopped, "list_events": lambda *_, **__: listing()}
    result = CliRunner().invoke(app, ["events", "tail", "-f", "--from", "c1"])
    assert "to go on: --from c3.3" in result.output


def test_a_time_is_replayed_page_by_page(provost: type[FakeProvost]) -> None:
    pages = {"": listing(1, 2, token="b"), "b": listing(3, 4)}
    provost.answers = {"list_events": lambda *_, page_token="", **__: pages[page_token]}
    result = invoke("replay", "--from", "2026-03-01", "--to", "2026-03-02", "--json")
    assert (result.exit_code, sequences(result.stdout)) == (0, [1, 2, 3, 4])
    wanted = provost.asked[0][1][0]
    assert wanted.from_time.ToDatetime(tzinfo=UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert sequences(invoke("replay", "--after", "b.3", "--json").stdout) == [4]
    assert sequences(invoke("replay", "--limit", "2", "--json").stdout) == [1, 2]


@pytest.mark.parametrize("times", [["--from", "yesterday"], ["--from", "2026-03-02", "--to", "2026-03-01"]])
def test_a_time_that_is_none_is_refused(provost: type[FakeProvost], times: list[str]) -> None:
    assert invoke("replay", *times).exit_code == 2


def test_a_cloudevent_has_all_that_the_event_had() -> None:
    told = event(7)
    told.headers.update(
        {"ce-type": "provost.orchestrator.v1.RunStarted", "ce-source": "provost/orchestrator"}
    )
    told.headers.update(
        {"ce-aggver": "3", "ce-time": "2026-01-02T03:04:05Z", "Nats-Msg-Id": "id-7", "ce-data": "x"}
    )
    told.payload_json = '{"run_id": "r"}'
    assert as_cloudevent(told) == {
        "specversion": "1.0",
        "id": "id-7",
        "source": "provost/orchestrator",
        "type": "provost.orchestrator.v1.RunStarted",
        "aggver": "3",
        "time": "2026-01-02T03:04:05Z",
        "tenant": "default",
        "logseq": "7",
        "datacontenttype": "application/json",
        "data": {"run_id": "r"},
    }
    told.payload_json, told.payload = "", b"\x01"
    assert as_cloudevent(told)["data_base64"] == "AQ=="
