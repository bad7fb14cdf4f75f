"""What events add up to, and that telling them twice adds nothing."""

from hypothesis import given
from hypothesis import strategies as st

from provost.orchestrator.v1 import events_pb2 as orchestrator
from provost.orchestrator.v1 import incident_pb2, orchestrator_pb2
from provost.policy.v1 import events_pb2 as policy
from provost.policy.v1 import policy_pb2
from services.ledger.domain.entry import Message, entry_of, microseconds
from services.ledger.domain.facts import Ended, Intended, Observed, Outcome, Told
from services.ledger.domain.projections import Changed, fold
from services.ledger.domain.rows import ActionRow, AgentRow, Key, Row, RunRow, ViolationRow
from services.ledger.wire.understanding import understand
from tests.unit.ledger.story import BEGIN, at, decision, message, plain, run

BEGIN_US = microseconds(BEGIN)


class Tables:
    """Rows kept between folds, as a book keeps them."""

    def __init__(self) -> None:
        self.rows: Changed = {}

    def tell(self, *told: Told) -> None:
        for kind, rows in fold(told, self.lookup).items():
            self.rows.setdefault(kind, {}).update(rows)

    def lookup(self, kind: type[Row], key: Key) -> Row | None:
        return self.rows.get(kind, {}).get(key)


def told(messages: list[Message]) -> list[Told]:
    entries = [entry_of(each) for each in messages]
    facts = [(each, understand(each).fact) for each in entries]
    return [Told(each.tenant, each.sequence, each.event_id, fact) for each, fact in facts if fact is not None]


def test_a_run_becomes_rows() -> None:
    rows = fold(told(run()), lambda kind, key: None)
    allowed = ActionRow(
        "default", "d1", 3, 0, BEGIN_US + 5_000_000, "sre-1", "1.0", "T1_OPERATOR", "diagnostics.memory", "localhost",
        "ALLOW", 0.75, True, "", "", "run-1", "task-1", "tier.T1_OPERATOR", "ALLOWED_BY_TIER", "1",
    )  # fmt: skip
    denied = allowed._replace(decision_id="d2", position=1, decision="DENY", success=None)
    assert rows[ActionRow] == {("default", "d1"): allowed, ("default", "d2"): denied}
    agent = AgentRow("default", "sre-1", "T1_OPERATOR", 1, 1, 1, BEGIN_US + 10_000_000, True)
    assert rows[AgentRow] == {("default", "sre-1"): agent}
    (violation,) = rows[ViolationRow].values()
    assert isinstance(violation, ViolationRow)
    assert (violation.sequence, violation.error_type, violation.message) == (
        6,
        "FORBIDDEN_BY_PACKET",
        "tried it",
    )
    assert rows[RunRow] == {("default", "run-1"): RunRow("default", "run-1", 0.75, True)}


@given(st.lists(st.integers(0, 9), max_size=9), st.data())
def test_repeats_change_nothing_wherever_batches_end(cuts: list[int], data: st.DataObject) -> None:
    story = told(run())
    again = data.draw(st.lists(st.sampled_from(story), max_size=6))
    whole, parts = Tables(), Tables()
    whole.tell(*story)
    ends = sorted({*cuts, len(story)})
    for begin, end in zip([0, *ends], ends, strict=False):
        parts.tell(*story[begin:end])
    parts.tell(*again)
    assert parts.rows == whole.rows


def test_tenants_do_not_meet() -> None:
    tables = Tables()
    tables.tell(*told(run("acme")), *told(run("default", first=10)))
    assert {key[0] for key in tables.rows[ActionRow]} == {"acme", "default"}
    assert [
        each for each in tables.rows[AgentRow].values() if isinstance(each, AgentRow) and each.total_runs != 1
    ] == []


def ended(number: int, *, compliant: bool, counted: bool = True, agent: str = "sre-1") -> Told:
    return Told("default", number, f"e{number}", Ended(f"run-{number}", agent, counted, compliant, number))


def test_the_streak_breaks_and_refused_runs_do_not_count() -> None:
    tables = Tables()
    tables.tell(ended(1, compliant=True), ended(2, compliant=True), ended(3, compliant=False))
    tables.tell(
        ended(4, compliant=True), ended(5, compliant=True, counted=False), ended(6, compliant=True, agent="")
    )
    row = tables.rows[AgentRow]["default", "sre-1"]
    assert isinstance(row, AgentRow)
    assert (row.total_runs, row.compliant_runs, row.consecutive_compliant, row.last_active_us) == (4, 3, 1, 4)
    assert len(tables.rows[AgentRow]) == 1


def test_an_outcome_once_known_stays() -> None:
    tables = Tables()
    story = told(run())
    tables.tell(*[each for each in story if not isinstance(each.fact, Observed)])
    unknown = Told(
        "default", 20, "u", Observed((Outcome("effect-1", None, "EFFECT_OUTCOME_UNKNOWN", "killed"),))
    )
    failed = Told("default", 21, "f", Observed((Outcome("effect-1", False, "TIMEOUT", "slow"),)))
    action = "default", "d1"
    for each, outcome in (
        (unknown, (None, "EFFECT_OUTCOME_UNKNOWN", "killed")),
        (failed, (False, "TIMEOUT", "slow")),
    ):
        tables.tell(each)
        assert tables.rows[ActionRow][action][12:15] == outcome
    tables.tell(unknown, story[4])
    assert tables.rows[ActionRow][action][12:15] == (False, "TIMEOUT", "slow")


def test_an_effect_nobody_intended_changes_nothing() -> None:
    tables = Tables()
    tables.tell(Told("default", 1, "o", Observed((Outcome("effect-9", True, "", ""),))))
    tables.tell(Told("default", 2, "i", Intended("effect-8", "no such decision")))
    tables.tell(Told("default", 3, "o2", Observed((Outcome("effect-8", True, "", ""),))))
    assert ActionRow not in tables.rows


def test_only_what_can_be_read_is_a_fact() -> None:
    made = policy.DecisionsMade(decisions=[decision("d1", policy_pb2.VERDICT_ALLOW)])
    good = message(1, made, aggregate="decisions", id="replica-1")
    assert understand(entry_of(good)).fact is not None
    assert understand(entry_of(plain(1))).fact is None
    damaged = Message(1, good.subject, good.header, good.payload[:-1])
    mislabelled = Message(
        1, good.subject, good.header.replace(b"DecisionsMade", b"AgentRevoked"), good.payload
    )
    assert understand(entry_of(damaged)).fact is None
    assert understand(entry_of(mislabelled)).fact is None


def test_strange_values_do_not_stop_the_ledger() -> None:
    strange = decision("d1", policy_pb2.VERDICT_ALLOW)
    strange.at.seconds, strange.tier, strange.verdict = 2**62, 99, 77  # type: ignore[assignment]
    event = message(1, policy.DecisionsMade(decisions=[strange]), aggregate="decisions")
    fact = understand(entry_of(event)).fact
    (row,) = fold([Told("default", 1, "e", fact)], lambda kind, key: None)[ActionRow].values()  # type: ignore[arg-type]
    assert isinstance(row, ActionRow)
    assert (row.at_us, row.tier, row.decision) == (0, "99", "77")
    plan = orchestrator.PlanRecorded(
        run_id="r", incident=incident_pb2.Incident(confidence=float("nan")), at=at(1)
    )
    fact = understand(entry_of(message(1, plan, aggregate="run"))).fact
    assert fold([Told("default", 1, "e", fact)], lambda kind, key: None)[RunRow] == {  # type: ignore[arg-type]
        ("default", "r"): RunRow("default", "r", 0.0, False)
    }


def test_every_outcome_of_an_effect() -> None:
    states = {
        orchestrator_pb2.EFFECT_STATE_SUCCEEDED: (True, ""),
        orchestrator_pb2.EFFECT_STATE_FAILED: (False, ""),
        orchestrator_pb2.EFFECT_STATE_REFUSED: (False, ""),
        orchestrator_pb2.EFFECT_STATE_UNKNOWN: (None, "EFFECT_OUTCOME_UNKNOWN"),
    }
    for state in orchestrator_pb2.EffectState.values():
        effect = orchestrator_pb2.Effect(effect_id="x", state=state)
        event = message(1, orchestrator.EffectsObserved(effects=[effect]), aggregate="run")
        fact = understand(entry_of(event)).fact
        assert isinstance(fact, Observed)
        assert [(each.success, each.error_type) for each in fact.outcomes] == (
            [states[state]] if state in states else []
        )
