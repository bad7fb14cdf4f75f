"""`DecisionsMade` is written field by field: the same bytes as by structure, whatever is in it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from chassis.mapping import Mapper
from provost.policy.v1 import events_pb2
from services.policy.adapters.group_commit import size_of
from services.policy.domain.action import Action, Mode
from services.policy.domain.amounts import Amounts
from services.policy.domain.decision import DecisionRecord, DecisionsMade, Verdict
from services.policy.domain.tier import Tier
from services.policy.wire import CODEC

MAPPER: Mapper[DecisionsMade, events_pb2.DecisionsMade] = Mapper(DecisionsMade, events_pb2.DecisionsMade)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

texts = st.sampled_from(["", "a", "b", "ü", "x" * 300])
few = st.lists(texts, max_size=2).map(tuple)
amounts = st.none() | st.builds(Amounts, actions=st.integers(0, 9), hosts=few)
records = st.builds(
    DecisionRecord,
    decision_id=texts, agent_id=texts, run_id=texts, task_id=texts,
    action=st.builds(Action, texts, texts, texts, texts, st.dictionaries(texts, texts, max_size=2)),
    mode=st.none() | st.sampled_from(Mode), verdict=st.sampled_from(Verdict), rule=texts, reason=texts,
    explanation=texts, tier=st.none() | st.sampled_from(Tier), policy_version=texts, action_digest=texts,
    approval_id=texts, agent_version=texts, at=st.sampled_from([AT, AT + timedelta(microseconds=7)]),
    labels=few, steps_done=few, cost=amounts,
)  # fmt: skip


@given(st.lists(records, max_size=4).map(tuple))
def test_it_is_what_the_mapping_by_structure_would_write(decisions: tuple[DecisionRecord, ...]) -> None:
    event = DecisionsMade(decisions)
    assert CODEC.encode(event)[2] == MAPPER.to_message(event).SerializeToString(deterministic=True)


@given(records)
def test_its_size_is_never_guessed_too_small(record: DecisionRecord) -> None:
    """Else a group of decisions would not fit into its event, and nobody in it would be answered."""
    assert size_of(record) >= len(CODEC.encode(DecisionsMade((record,)))[2])
