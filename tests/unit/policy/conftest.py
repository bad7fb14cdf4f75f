"""Custom rules, ready to be asked."""

from collections.abc import Iterator

import pytest

from services.policy.adapters.rego import rules as asking
from services.policy.adapters.rego.rules import RegoRules


@pytest.fixture
def rules() -> Iterator[RegoRules]:
    made = RegoRules()
    yield made
    made.end()


@pytest.fixture(scope="module")
def patient_rules() -> Iterator[RegoRules]:
    """The same for all tests of a module, and no machine is too slow for them."""
    made = RegoRules()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asking, "LOAD_SECONDS", 30.0)
        patched.setattr(asking, "JUDGE_SECONDS", 30.0)
        yield made
    made.end()
