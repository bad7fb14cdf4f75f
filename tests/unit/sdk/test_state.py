"""State on the command line: what is wrong comes first, nothing acts on the terminal, everything is JSON when asked."""

import json

import pytest

from provost.state.v1 import state_pb2 as pb
from provost_sdk.cli.sharing import value_in
from tests.unit.sdk.conftest import FakeProvost, at, invoke

EVIL = "disk \x1b[2J\nfull \u202e[red]"


PACKET = pb.Packet(
    agent_id="sre-1",
    task_id="task-1",
    objective=EVIL,
    version=2,
    created_at=at(1),
    error_budget=pb.ErrorBudget(max_total_errors=10, max_same_error_repeats=3, max_procedure_violations=1),
)
LOCK = pb.Lock(holder="run-1", fencing_token=17, expire_time=at(50))
STUCK = pb.AgentSnapshot(
    agent_id="sre-1",
    packet=PACKET,
    run_id="run-1",
    phase="EXECUTE",
    step="s-2",
    errors=pb.ErrorCounts(total=4, same_error_repeats=2, by_type={"TIMEOUT": 2, "DENIED": 2}),
    lock=LOCK,
    heartbeat_time=at(30),
    stuck=pb.Stuck(
        kind=pb.Stuck.KIND_CIRCLE, evidence="6 messages\x07", since=at(9), with_agent_ids=["sre-2"]
    ),
)
WAITING = pb.AgentSnapshot(
    agent_id="sre-2",
    packet=pb.Packet(task_id="task-1"),
    phase="AUTHORIZE",
    waiting=pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="restart nginx", since=at(5)),
)
HELD = pb.HeldLock(agent_id="sre-1", task_id="task-1", lock=LOCK, waiting=["run-2", "run-3"])
ENTRY = pb.Entry(
    task_id="task-1",
    section="problem",
    key="cause",
    value=json.dumps(EVIL),
    author="sre-1",
    version=3,
    at=at(8),
)
MESSAGE = pb.Message(
    message_id="m-1",
    type="QUESTION",
    from_agent_id="sre-1",
    body='"why?\u202e"',
    recipients=["sre-2"],
    sequence=9,
)
SUMMARY = pb.TaskSummary(
    task_id="task-1",
    agent_ids=["sre-1", "sre-2"],
    active_agent_id="sre-1",
    entries=1,
    unread_messages=1,
    changed_at=at(31),
    sequence=99,
)
TASK = pb.GetTaskResponse(
    task=SUMMARY,
    agents=[STUCK, WAITING],
    locks=[HELD],
    entries=[ENTRY],
    unread_messages=[MESSAGE],
    artifacts=[
        pb.Artifact(sha256=each * 32, name="report.json", run_id=f"run-of-{each}", size_bytes=12)
        for each in ("ab", "cd")
    ],
    handoff=pb.Handoff(
        previous_agent_id="sre-0",
        revocation_reason=pb.RevocationReason(type="operator", details="taken away\x1b[2J"),
        blocking_issue=EVIL,
        required_next_actions=["look at \x1b]0;x"],
        labels=["of-handoff", "personal"],
    ),
    incomplete=True,
)


def test_a_task_is_seen_as_it_is(provost: type[FakeProvost]) -> None:
    provost.answers["GetTask"] = TASK
    told = invoke("tasks", "show", "task-1").output
    for words in (
        "Task task-1",
        "sre-1 works on it",
        "STUCK CIRCLE, with sre-2 since 2026-03-01 03:00:09",
        "sre-2 waits for APPROVAL since 2026-03-01 03:00:05: restart nginx",
        "run-2, run-3: waits for sre-1, held by run-1",
        "4/10 total, 2/3 alike, 0/1 violations",
        "QUESTION",
        "all (sre-2)",
        "report.json",
        "run-of-ab",
        "run-of-cd",
        "Handoff from sre-0",
        r"why: operator: taken away\x1b[2J",
        "labels: of-handoff, personal",
        "There is more than is shown",
    ):
        assert words in told, (words, told)
    assert told.index("STUCK") < told.index("Agents") < told.index("Board") < told.index("Unread messages")
    ((_, request),) = provost.asked
    assert request.task_id == "task-1"


def test_a_run_that_waits_is_seen_while_its_agent_works_on_something_else(provost: type[FakeProvost]) -> None:
    waiting = pb.Waiting(kind=pb.Waiting.KIND_APPROVAL, what="restart \x1b[2J", since=at(5))
    busy = pb.AgentSnapshot(
        agent_id="sre-1",
        packet=pb.Packet(task_id="task-2"),
        lock=LOCK,
        waiting_runs=[pb.WaitingRun(run_id="run-0", task_id="task-1", waiting=waiting)],
    )
    provost.answers.update(
        GetTask=pb.GetTaskResponse(task=SUMMARY, agents=[busy]),
        GetAgentState=pb.GetAgentStateResponse(agent=busy),
    )
    waits = r"waits for APPROVAL since 2026-03-01 03:00:05: restart \x1b[2J"
    assert f"sre-1 works on task-2; run run-0 {waits}" in invoke("tasks", "show", "task-1").output
    assert "No agent works on it." in invoke("tasks", "show", "task-1").output
    told = invoke("state", "show", "sre-1").output
    assert told.startswith("sre-1  at work\n")
    assert f"run run-0 of task task-1 {waits}" in told


def test_nothing_that_is_shown_acts_on_the_terminal(provost: type[FakeProvost]) -> None:
    provost.answers.update(GetTask=TASK, GetAgentState=pb.GetAgentStateResponse(agent=STUCK))
    provost.answers["ListPackets"] = pb.ListPacketsResponse(packets=[PACKET])
    for command in (("tasks", "show", "t"), ("state", "show", "a"), ("state", "packets", "a")):
        told = invoke(*command).output
        assert not set("\x1b\x07\u202e") & set(told), told
        assert "[red]" in told, told
        assert r"disk \x1b[2J" in told, told


def test_an_agent_that_has_done_nothing_yet_is_shown(provost: type[FakeProvost]) -> None:
    provost.answers["GetAgentState"] = pb.GetAgentStateResponse(agent=pb.AgentSnapshot(agent_id="new"))
    told = invoke("state", "show", "new").output
    assert all(words in told for words in ("new  idle", "nobody holds it", "none left"))


LISTS = {
    ("tasks",): ("ListTasks", pb.ListTasksResponse(tasks=[SUMMARY]), ("task-1", "sre-1, sre-2")),
    ("state", "locks"): ("ListLocks", pb.ListLocksResponse(locks=[HELD]), ("run-1", "17", "run-2, run-3")),
    ("state", "stuck"): (
        "ListStuckAgents",
        pb.ListStuckAgentsResponse(agents=[STUCK]),
        ("CIRCLE with sre-2", r"6 messages\x07"),
    ),
    ("state", "packets", "sre-1"): (
        "ListPackets",
        pb.ListPacketsResponse(packets=[PACKET]),
        ("as its tier",),
    ),
    ("state", "board", "task-1"): (
        "ListEntries",
        pb.ListEntriesResponse(entries=[ENTRY]),
        ("problem", "cause"),
    ),
    ("state", "messages", "task-1"): (
        "ListMessages",
        pb.ListMessagesResponse(messages=[MESSAGE]),
        ("m-1", r"why?\u202e"),
    ),
    ("state", "checkpoints", "run-1"): (
        "ListCheckpoints",
        pb.ListCheckpointsResponse(
            checkpoints=[pb.Checkpoint(number=4, phase="PLAN", step="s", at=at(1), labels=["personal"])]
        ),
        ("PLAN/s", "4", "personal"),
    ),
}


@pytest.mark.parametrize("command", LISTS)
def test_every_list_has_a_table_and_json(command: tuple[str, ...], provost: type[FakeProvost]) -> None:
    method, answer, words = LISTS[command]
    provost.answers[method] = answer
    shown = invoke(*command)
    assert all(word in shown.output for word in words), shown.output
    (row,) = json.loads(invoke(*command, "--json").stdout)
    assert row
    # What the list is of is there, with nothing in it.
    whole = {"GetTask": pb.GetTaskResponse(), "GetAgentState": pb.GetAgentStateResponse(), "GetRun": None}
    provost.answers |= {**whole, method: type(answer)()}
    empty = invoke(*command)
    assert (empty.exit_code, empty.output.count("\n")) == (0, 1)
    assert {asked for asked, _ in provost.asked} - {*whole} == {method}


def test_what_is_stuck_shows_in_the_exit_code(provost: type[FakeProvost]) -> None:
    provost.answers["ListStuckAgents"] = pb.ListStuckAgentsResponse(agents=[STUCK])
    assert invoke("state", "stuck", "--json").exit_code == 1


def test_what_is_written_is_sent_as_it_was_said(provost: type[FakeProvost]) -> None:
    provost.answers.update(
        PutEntry=pb.PutEntryResponse(entry=ENTRY),
        SendMessage=pb.SendMessageResponse(message=MESSAGE),
        ForceReleaseLock=pb.ForceReleaseLockResponse(sequence=12),
    )
    put = invoke(
        "state", "put", "task-1", "problem", "cause", '{"disk": 1}', "--version", "0", "--label", "pii"
    )
    assert "problem/cause has version 3 now, by sre-1" in put.output
    sent = invoke("state", "send", "task-1", "QUESTION", "why?", "--to", "sre-2", "--reply-to", "m-0")
    assert "Sent to sre-2: m-1" in sent.output
    forced = invoke("state", "force-release", "sre-1", "--reason", "it hangs")
    assert "stale" in forced.output
    (_, entry), (_, message), (_, release) = provost.asked
    assert (json.loads(entry.value), entry.expected_version, list(entry.labels)) == ({"disk": 1}, 0, ["pii"])
    assert entry.HasField("expected_version")
    assert (json.loads(message.body), message.to_agent_id, message.in_reply_to) == ("why?", "sre-2", "m-0")
    assert (release.agent_id, release.reason) == ("sre-1", "it hangs")
    assert len({entry.request_id, message.request_id, release.request_id} - {""}) == 3
    assert entry.agent_id == message.from_agent_id == ""


def test_messages_are_taken_for_read_in_an_agents_name(provost: type[FakeProvost]) -> None:
    provost.answers["AcknowledgeMessages"] = pb.AcknowledgeMessagesResponse(sequence=45)
    told = invoke("state", "acknowledge", "task-1", "sre-2", "--up-to", "44", "--message", "m-1")
    assert "Acknowledged in the name of sre-2, as of sequence 45" in told.output
    ((_, request),) = provost.asked
    assert (request.agent_id, request.up_to_sequence, list(request.message_ids)) == ("sre-2", 44, ["m-1"])
    assert request.request_id
    told = invoke("state", "acknowledge", "task-1", "sre-2")
    assert (told.exit_code, len(provost.asked)) == (2, 1)
    assert "--up-to SEQ" in told.output


def test_whom_a_message_to_all_does_not_reach_is_said(provost: type[FakeProvost]) -> None:
    sent = pb.Message(message_id="m-2", recipients=["sre-3"], passed_over=["sre-2"])
    provost.answers["SendMessage"] = pb.SendMessageResponse(message=sent)
    told = " ".join(invoke("state", "send", "task-1", "STATUS", "hello").output.split())
    assert "Sent to sre-3: m-2; not to sre-2, whose inbox is full" in told


def test_an_entry_is_taken_off(provost: type[FakeProvost]) -> None:
    provost.answers["PutEntry"] = pb.PutEntryResponse(entry=ENTRY)
    told = invoke("state", "remove", "task-1", "problem", "cause", "--version", "3")
    assert "problem/cause was taken off" in told.output
    ((_, request),) = provost.asked
    assert (request.value, request.expected_version) == ("", 3)


@pytest.mark.parametrize("version", ["-1", "9" * 30, "x"])
def test_a_version_that_is_none_is_misuse(version: str, provost: type[FakeProvost]) -> None:
    told = invoke("state", "put", "task-1", "problem", "cause", "1", "--version", version)
    assert (told.exit_code, provost.asked) == (2, [])


@pytest.mark.parametrize(
    "command",
    [("tasks", "show"), ("state", "show"), ("state", "messages")],
)
def test_an_argument_that_is_not_text_is_misuse(command: tuple[str, ...], provost: type[FakeProvost]) -> None:
    told = invoke(*command, b"sre-\xff".decode(errors="surrogateescape"))
    assert (told.exit_code, provost.asked) == (2, [])
    assert "not UTF-8" in told.output


def test_a_lock_is_not_taken_away_without_a_reason(provost: type[FakeProvost]) -> None:
    assert (invoke("state", "force-release", "sre-1").exit_code, provost.asked) == (2, [])


@pytest.mark.parametrize(
    ("given", "meant"),
    [('"a"', "a"), ("a b", "a b"), ("12", 12), ("NaN", "NaN"), ("", ""), ('{"a": [null]}', {"a": [None]})],
)
def test_a_value_is_json_or_text(given: str, meant: object) -> None:
    assert value_in(given) == meant


@pytest.mark.parametrize(
    "command",
    [
        ("state", "acknowledge", "task-1", "sre-1", "--up-to"),
        ("agents", "secret", "sre-1", "--wrap"),
        ("ledger", "prove", "--index"),
    ],
)
@pytest.mark.parametrize("number", ["99999999999999999999", "-1"])
def test_a_number_that_no_message_can_hold_is_a_mistake_that_is_explained(
    command: tuple[str, ...], number: str, provost: type[FakeProvost]
) -> None:
    told = invoke(*command, number)
    assert (told.exit_code, provost.asked) == (2, [])
    assert f"Invalid value for '{command[-1]}': Input should be" in told.output


def test_that_other_tenants_keys_differ_is_said_though_not_which(provost: type[FakeProvost]) -> None:
    provost.answers["VerifyStore"] = pb.VerifyStoreResponse(differing_keys=["one"], differing_key_count=4)
    assert "and 3 more, of this tenant or of others" in invoke("state", "verify").output


@pytest.mark.parametrize(("equal", "code"), [(True, 0), (False, 1)])
def test_whether_the_store_is_equal_shows_in_the_exit_code(
    equal: bool, code: int, provost: type[FakeProvost]
) -> None:
    provost.answers["VerifyStore"] = pb.VerifyStoreResponse(
        equal=equal, differing_keys=["agent:{a}\x1b:state"]
    )
    told = invoke("state", "verify")
    assert (told.exit_code, "\x1b" in told.output) == (code, False)
    assert json.loads(invoke("state", "verify", "--json").stdout)["equal"] is equal
