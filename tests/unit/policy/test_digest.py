"""The digest of an action is the same wherever it is computed."""

from hypothesis import given
from hypothesis import strategies as st

from chassis.digest import action_digest
from services.policy.adapters.signing import digest_of
from services.policy.domain.action import Action

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = texts | st.text(st.characters(max_codepoint=127), max_size=8)


@given(texts, texts, texts, st.dictionaries(names, texts, max_size=5))
def test_the_quick_way_is_the_canonical_way(
    name: str, target: str, environment: str, parameters: dict[str, str]
) -> None:
    action = Action("a1", name, target, environment, parameters)
    assert digest_of(action) == action_digest(name, target, environment, parameters)


def test_the_place_in_the_plan_is_no_part_of_it() -> None:
    assert digest_of(Action("a1", "x", "t", "sandbox", {})) == digest_of(
        Action("a2", "x", "t", "sandbox", {})
    )
    assert digest_of(Action("a1", "x", "t", "sandbox", {})) != digest_of(
        Action("a1", "x", "t", "staging", {})
    )
