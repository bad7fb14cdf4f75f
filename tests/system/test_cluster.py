"""The compose cluster on a real Docker Engine: brought up, scaled, and hurt under load; nothing acknowledged is lost.

Told in order, on one cluster and under one load: each test goes on where the one before ended, and the last one holds
all that happened against the invariants of docs/faults.md. What each cost its callers is printed at the end, and goes
to the file that PROVOST_CLUSTER_FIGURES names.
"""

import os
import re
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import httpx2 as httpx
import pytest

from tests.chaos.callers import LOG
from tests.chaos.invariants import check, everything
from tests.system.cluster.engine import Engine
from tests.system.cluster.figures import Figure, Figures
from tests.system.cluster.images import build
from tests.system.cluster.load import Load
from tests.system.cluster.stack import SCALED, UP_SECONDS, Stack
from tests.unit.house.skeleton import REPOSITORY

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

NODES = ("nats-1", "nats-2", "nats-3")
LONGEST_GAP_SECONDS = 30.0
"""Far more than it takes on a machine of its own (docs/cluster.md has figures): callers wait, and are answered."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    engine = Engine.there()
    made: Stack | None = None
    try:
        build(engine)
        made = Stack(engine, "provost-test", tmp_path_factory.mktemp("cluster"))
        made.down()
        yield made
    finally:
        if made is not None:
            made.down()
        engine.stop()


@pytest.fixture(scope="module")
def load(stack: Stack) -> Iterator[Load]:
    made = Load(lambda: stack.addresses("gateway", 5000), stack.key("operator"), stack.key("auditor"))
    yield made
    made.stop()


def test_it_is_healthy_within_a_minute_and_does_the_main_job(stack: Stack, figures: Figures) -> None:
    figure = figures.about("up, from nothing")
    figure.healthy_after = stack.up()
    assert figure.healthy_after <= UP_SECONDS
    said = stack.cli("process", str(REPOSITORY / "examples" / "ssh-guessing.log"), role="operator")
    assert "COMPLETED" in said
    assert "All is well" in stack.cli("status")


async def test_nobody_comes_into_the_database_in_the_clear_or_without_a_certificate(stack: Stack) -> None:
    url = stack.database()
    refused = asyncpg.InvalidAuthorizationSpecificationError
    with pytest.raises(refused, match=r"no pg_hba\.conf entry for host .* no encryption"):
        await asyncpg.connect(url, ssl=False)
    with pytest.raises(refused, match="connection requires a valid client certificate"):
        await asyncpg.connect(url, ssl=stack.trusting("ledger", shown=False))
    connection = await asyncpg.connect(url, ssl=stack.trusting("ledger", shown=True))
    try:
        query = """
            SELECT bool_and(ssl), array_agg(DISTINCT client_dn)
            FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'provost_ledger'
        """
        assert tuple(await connection.fetchrow(query)) == (True, ["/CN=provost ledger"])
    finally:
        await connection.close()


def test_every_service_is_scaled_up_under_load(stack: Stack, load: Load, figures: Figures) -> None:
    with load.through(figures.about("scaling up")) as figure:
        figure.healthy_after = stack.up(SCALED)
    assert {each: len(stack.containers(each)) for each in SCALED} == SCALED
    answered_in_time(figure)


@pytest.mark.parametrize("service", [*SCALED, "actuators", "agents"])
def test_a_replica_is_killed(stack: Stack, load: Load, figures: Figures, service: str) -> None:
    if service == "ledger":
        what, one = "kill -9 of the ledger that writes", stack.active_ledger()
    else:
        what, one = f"kill -9 of one {service}", stack.containers(service)[0]
    killed(stack, load, figures.about(what), one)


def test_the_node_that_leads_the_log_is_killed(stack: Stack, load: Load, figures: Figures) -> None:
    leader = stack.nats_leader()
    killed(stack, load, figures.about("kill -9 of the log's leader"), *stack.containers(leader))
    assert stack.nats_leader() in NODES


def test_the_database_is_killed(stack: Stack, load: Load, figures: Figures) -> None:
    killed(stack, load, figures.about("kill -9 of PostgreSQL"), *stack.containers("postgres"))
    stack.until_healthy(stack.containers("ledger"))


def killed(stack: Stack, load: Load, figure: Figure, one: str) -> None:
    """Under load, and healthy again before it is over."""
    with load.through(figure):
        begun = time.monotonic()
        stack.kill(one)
        stack.until_healthy([one])
        figure.healthy_after = time.monotonic() - begun
    answered_in_time(figure)


def answered_in_time(figure: Figure) -> None:
    for seconds in (figure.without_an_answer, figure.ledger_behind):
        assert seconds is not None
        assert seconds < LONGEST_GAP_SECONDS, figure


def test_a_container_is_cut_off(stack: Stack, load: Load, figures: Figures) -> None:
    one = stack.containers("state")[0]
    with load.through(figures.about("one state cut off the network, and back")) as figure:
        with stack.cut_off(one):
            load.progress()
            stack.until_not_serving([one])
            stack.until_ill([one])
            load.progress()
        figure.healthy_after = stack.until_healthy([one])
    answered_in_time(figure)


def test_a_backup_is_taken_under_load_as_the_documentation_says(
    stack: Stack, load: Load, tmp_path: Path
) -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    (command,) = re.findall(
        r"^docker run .*?chassis\.backup take /backup/today$", text, re.DOTALL | re.MULTILINE
    )
    command = command.replace("provost_", f"{stack.project}_").replace("$PWD/backup", str(tmp_path))
    os.chown(tmp_path, 10001, 10001)
    load.progress()
    before = stack.last_sequence()
    said = stack.engine.run("-euc", command, program="sh")
    kept = re.search(
        r"^EVENTS: ([\d,]+) messages, sequences 1 to (\d+), kept in /backup/today/EVENTS$", said, re.MULTILINE
    )
    assert kept is not None, said
    assert int(kept[1].replace(",", "")) == int(kept[2]) >= before > 0
    assert any((tmp_path / "today" / "EVENTS").iterdir())


def test_everything_is_restarted_one_by_one_under_load(stack: Stack, load: Load, figures: Figures) -> None:
    """Never two of a kind at a time; the first replicas of all services together, then the second, then the third."""
    with load.through(figures.about("rolling restart of everything")) as figure:
        begun = time.monotonic()
        for node in NODES:
            restarted(stack, *stack.containers(node))
        services = [stack.containers(each) for each in (*SCALED, "agents")]
        services.append(
            ["", "", *stack.containers("actuators")]
        )  # with the third: of them there is one, as of agents
        for together in zip_longest(*services):
            restarted(stack, *filter(None, together))
        figure.healthy_after = time.monotonic() - begun
    answered_in_time(figure)


def restarted(stack: Stack, *containers: str) -> None:
    stack.restart(*containers)
    stack.until_healthy(containers)


def test_without_two_of_three_nats_nodes_nothing_is_written_and_readiness_says_so(
    stack: Stack, load: Load, figures: Figures
) -> None:
    gone = stack.containers("nats-1", "nats-2")
    services = stack.containers("policy", "state", "ledger")
    host, port = stack.addresses("gateway", 5000)[0]
    gateway, key = f"http://{host}:{port}", {"X-API-Key": stack.key("operator")}
    body = {"log": LOG, "mode": "safe", "request_id": "without-quorum"}
    figure = figures.about("two of three NATS nodes gone, and back")
    with load.through(figure):
        stack.engine.run("pause", *gone)
        try:
            stack.until_not_serving(services)
            answered = len(load.callers.acknowledged)
            told = httpx.get(f"{gateway}/api/health", timeout=30)
            assert told.status_code == 503, told.text
            ill = {each["name"] for each in told.json()["components"] if not each["healthy"]}
            assert {"nats", "policy", "state"} <= ill, told.text
            answer = httpx.post(f"{gateway}/api/process_log", json=body, headers=key, timeout=30)
            assert answer.status_code in {502, 503, 504}, answer.text
            assert len(load.callers.acknowledged) == answered, (
                "a run was acknowledged that nobody could write"
            )
        finally:
            stack.engine.run("unpause", *gone)
        back = time.monotonic()
        load.measured_from_now()
        stack.until_healthy(stack.containers(), 90)
        figure.healthy_after = time.monotonic() - back
    answered_in_time(figure)


def test_every_service_is_scaled_down_under_load(stack: Stack, load: Load, figures: Figures) -> None:
    with load.through(figures.about("scaling down")) as figure:
        figure.healthy_after = stack.up(dict.fromkeys(SCALED, 1))
    assert {each: len(stack.containers(each)) for each in SCALED} == dict.fromkeys(SCALED, 1)
    answered_in_time(figure)


async def test_nothing_that_was_acknowledged_is_lost_and_all_of_it_is_proved(
    stack: Stack, load: Load, figures: Figures
) -> None:
    acknowledged = load.finish()
    events = await everything(*stack.nats())
    check(events, acknowledged)
    assert len(acknowledged) > 50
    begun = time.monotonic()
    assert "All holds" in stack.cli("ledger", "verify")
    stack.cli("state", "verify")
    figures.counted |= {
        "runs acknowledged": len(acknowledged),
        "events": len(events),
        "asked again after no answer": len(load.callers.cut_off),
        "asked again after 502, 503 or 504": len(load.callers.turned_away),
        "seconds to verify ledger and store": time.monotonic() - begun,
    }
