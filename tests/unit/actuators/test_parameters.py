"""What a parameter may be: all that built-in agents may plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.actuators.actuator import Parameter
from services.orchestrator.actuators.ansible import AnsibleCheck
from services.orchestrator.actuators.diagnostics import DIAGNOSTICS
from services.orchestrator.agents.actions import FORMS, well_formed

OFFERED: dict[str, Parameter] = {
    name: parameter
    for actuator in (*DIAGNOSTICS, AnsibleCheck())
    for name, parameter in actuator.offer.parameters.items()
}
LONGEST = {
    "unit": "a" * 63 + 4 * ("." + "b" * 40),
    "service": "a" * 63 + 4 * ("." + "b" * 40),
    "package": "a" * 63,
    "path": 9 * ("/-" + "a" * 62) + "/",
    "play": "time_synchronised",
}


@pytest.mark.parametrize("name", OFFERED)
def test_the_longest_value_that_an_agent_may_plan_is_taken(name: str) -> None:
    assert well_formed(name, LONGEST[name])
    assert OFFERED[name].pattern.fullmatch(LONGEST[name])


@given(st.data())
@pytest.mark.parametrize("name", OFFERED)
def test_whatever_an_agent_may_plan_is_taken(name: str, data: st.DataObject) -> None:
    values = st.from_regex(FORMS[name], fullmatch=True).filter(lambda value: well_formed(name, value))
    value = data.draw(values)
    assert OFFERED[name].pattern.fullmatch(value)
