"""What happened, on the command line: tokens are followed, chains are for tired people, a watch goes on by itself."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

import pytest
from typer.testing import CliRunner

from provost.ledger.v1 import ledger_pb2 as pb
from provost_sdk.cli import following
from provost_sdk.cli.app import app
from provost_sdk.errors import InvalidRequest, LimitReached, Unreachable
from provost_sdk.history_calls import gather, stamp

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeProvost:
    """Answers from functions by name; what was asked is kept."""

    answers: ClassVar[dict[str, Callable[..., Any]]] = {}
    asked: ClassVar[list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = []

    def __init__(self, address: str, key: str = "", **_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        answer = self.answers[name]

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.asked.append((name, args, kwargs))
            return answer(*args, **kwargs)

        async def watch(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self.asked.append((name, args, kwargs))
            for each in answer(*args, **kwargs):
                if isinstance(each, Exception):
                    raise each
                yield each

        return watch if name == "watch_events" else call


@pytest.fixture
def provost(monkeypatch: pytest.MonkeyPatch) -> type[FakeProvost]:
    for name in ("PROVOST_ADDRESS", "PROVOST_API_KEY", "PROVOST_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setattr(following, "_FIRST_PAUSE_SECONDS", 0.001)
    fresh = type("FreshProvost", (FakeProvost,), {"answers": {}, "asked": []})
    monkeypatch.setattr("provost_sdk.client.Provost", fresh)
    return fresh


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["ledger", *arguments])


def event(sequence: int, event_type: str = "RunStarted", actor: str = "key:alice") -> pb.LedgerEvent:
    return pb.LedgerEvent(
        sequence=sequence,
        event_id=f"id-{sequence}",
        event_type=event_type,
        subject=f"evt.default.orchestrator.run.run-1.{event_type}",
        actor=actor,
        at=stamp(AT.replace(second=sequence)),
    )


async def test_gathering_follows_tokens_over_pages_that_are_short_or_empty() -> None:
    pages = {"": ([9, 8], "a"), "a": ([], "b"), "b": ([7], "c"), "c": ([6, 5], "d"), "d": ([4], "")}
    asked = []

    async def page(size: int, token: str) -> pb.ListEventsResponse:
        asked.append((size, token))
        rows, after = pages[token]
        return pb.ListEventsResponse(events=[event(n) for n in rows], next_page_token=after)

    assert [each.sequence for each in await gather(page, 4)] == [9, 8, 7, 6]
    assert asked == [(4, ""), (2, "a"), (2, "b"), (1, "c")]
    assert [each.sequence for each in await gather(page, 100)] == [9, 8, 7, 6, 5, 4]


def test_filters_are_passed_on_and_rows_are_shown(provost: type[FakeProvost]) -> None:
    provost.answers["list_events"] = lambda *_, **__: pb.ListEventsResponse(events=[event(7)])
    shown = invoke(
        "events", "--agent", "sre-1", "--action", "x.y", "--decision", "DENY", "--since", "2026-03-01"
    )
    assert shown.exit_code == 0
    assert "orchestrator.run.run-1" in shown.output
    ((_, (wanted,), options),) = provost.asked
    assert (wanted.agent_id, wanted.action, wanted.decision) == ("sre-1", "x.y", "DENY")
    assert wanted.from_time.ToDatetime(tzinfo=UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert (options["page_size"], wanted.HasField("to_time")) == (31, False), "one more, to say so"


def test_a_time_that_is_none_is_said_before_anyone_is_asked(provost: type[FakeProvost]) -> None:
    told = invoke("actions", "--since", "yesterday")
    assert (told.exit_code, provost.asked) == (2, [])
    assert "--since" in told.stderr


def test_every_list_has_a_table_and_json(provost: type[FakeProvost]) -> None:
    action = pb.AgentAction(
        sequence=3, agent_id="sre-1", action="ansible.check", decision="ALLOW", success=False
    )
    metrics = pb.AgentMetrics(agent_id="sre-1", current_tier="T1_OPERATOR", total_runs=3, revoked=True)
    violation = pb.Violation(sequence=4, agent_id="sre-1", error_type="FORBIDDEN", message="tried \x1b[2J")
    promotion = pb.Promotion(
        sequence=1, agent_id="sre-1", to_tier="T1_OPERATOR", reason="REGISTERED", by="key:a"
    )
    approval = pb.ApprovalRecord(approval_id="ap-1", state="USED", answered_by="key:bob", comment="go on")
    provost.answers.update(
        list_agent_actions=lambda **_: pb.ListAgentActionsResponse(actions=[action]),
        list_agent_metrics=lambda **_: pb.ListAgentMetricsResponse(metrics=[metrics]),
        list_violations=lambda **_: pb.ListViolationsResponse(violations=[violation]),
        list_promotions=lambda **_: pb.ListPromotionsResponse(promotions=[promotion]),
        list_approval_records=lambda **_: pb.ListApprovalRecordsResponse(approvals=[approval]),
    )
    for command, words in {
        "actions": ("ansible.check", "ALLOW", "no"),
        "metrics": ("T1_OPERATOR", "revoked"),
        "violations": ("FORBIDDEN", r"tried \x1b[2J"),
        "promotions": ("REGISTERED", "key:a"),
        "approvals": ("ap-1", "USED", "key:bob", "go on"),
    }.items():
        shown = invoke(command).output
        assert all(word in shown for word in words), (command, shown)
        (row,) = json.loads(invoke(command, "--json").stdout)
        assert row


def test_a_chain_says_when_who_and_what(provost: type[FakeProvost]) -> None:
    steps = [
        pb.Step(event=event(1), summary="key:alice started a run"),
        pb.Step(
            event=event(4, "EffectIntended", "service:orchestrator"),
            caused_by_sequence=1,
            summary="about to carry out a1",
        ),
    ]
    provost.answers["trace_causes"] = lambda *_, **__: pb.TraceCausesResponse(steps=steps, incomplete=True)
    told = invoke("why", "id-4").output
    assert told.splitlines()[0] == "What led to event id-4, oldest first; times are UTC:"
    assert "There was more before this" in told
    assert "#1  2026-03-01 12:00:01.000  +0.000 s  key:alice" in told
    assert "#4  2026-03-01 12:00:04.000  +3.000 s  service:orchestrator" in told
    assert "EffectIntended id-4, because of #1" in told
    invoke("why", "--effect", "e-1")
    assert provost.asked[-1] == ("trace_causes", ("",), {"effect_id": "e-1"})
    assert invoke("why").exit_code == invoke("why", "a", "--effect", "b").exit_code == 2


def test_a_replay_follows_its_tokens(provost: type[FakeProvost]) -> None:
    def page(_: str, *, page_size: int, page_token: str) -> pb.ReplayRunResponse:
        at = int(page_token or 1)
        step = pb.Step(event=event(at), summary=f"step {at}")
        return pb.ReplayRunResponse(steps=[step], next_page_token=str(at + 1) if at < 3 else "")

    provost.answers["replay_run"] = page
    told = invoke("replay", "run-1").output
    assert "Run run-1 in 3 events" in told
    assert [line.strip() for line in told.splitlines() if "step" in line] == ["step 1", "step 2", "step 3"]


def watched(upto: int, *sequences: int) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(events=[event(n) for n in sequences], cursor=f"c{upto}")


def test_a_watch_goes_on_behind_its_cursor_whatever_ends_it(provost: type[FakeProvost]) -> None:
    lives = iter(
        [
            [watched(0), watched(2, 1, 2), Unreachable("SHUTTING_DOWN", "stopping")],
            [Unreachable("GATEWAY_UNREACHABLE", "nobody")],
            [watched(2), LimitReached("WATCH_TOO_SLOW", "nothing was read", {"cursor": "c2"})],
            [watched(2), watched(3, 3)],
            [watched(9), watched(11, 10, 11)],
        ]
    )
    provost.answers["watch_events"] = lambda *_, **__: next(lives)
    told = invoke("watch", "--from-start", "--limit", "5", "--json")
    assert told.exit_code == 0
    assert [json.loads(line)["sequence"] for line in told.stdout.splitlines()] == [1, 2, 3, 10, 11]
    assert [(o["cursor"], o["from_start"]) for _, _, o in provost.asked] == [
        ("", True),
        ("c2", False),
        ("c2", False),
        ("c2", False),
        ("c3", False),
    ]
    assert "SHUTTING_DOWN" in told.stderr


def test_a_cursor_that_is_no_good_ends_the_watch(provost: type[FakeProvost]) -> None:
    provost.answers["watch_events"] = lambda *_, **__: [InvalidRequest("CURSOR_INVALID", "another filter's")]
    told = invoke("watch", "--cursor", "x")
    assert (told.exit_code, "CURSOR_INVALID" in told.stderr) == (1, True)


def test_a_watch_that_never_began_says_that_nobody_is_there(provost: type[FakeProvost]) -> None:
    provost.answers["watch_events"] = lambda *_, **__: [Unreachable("GATEWAY_UNREACHABLE", "nobody")]
    assert invoke("watch").exit_code == 3
