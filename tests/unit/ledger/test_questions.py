"""Page tokens belong to one question, and nothing else is one."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.faults import Invalid
from services.ledger.domain.faults import PageTokenInvalid
from services.ledger.domain.questions import (
    ActionQuestion,
    AgentQuestion,
    EventQuestion,
    Page,
    Question,
    ViolationQuestion,
    page_of,
    token_of,
)

QUESTIONS: list[Question] = [
    EventQuestion("default"),
    EventQuestion("default", oldest_first=True),
    EventQuestion("default", context="policy"),
    EventQuestion("default", aggregate="policy"),
    EventQuestion("default", from_us=5),
    EventQuestion("default", to_us=5),
    EventQuestion("acme"),
    ViolationQuestion("default"),
]


def test_a_token_leads_on_in_its_own_question_alone() -> None:
    for question in QUESTIONS:
        token = token_of(question, (7,))
        assert page_of(question, 0, token) == Page(50, (7,))
        for other in [*QUESTIONS, ActionQuestion("default"), AgentQuestion("default")]:
            if other != question:
                with pytest.raises(PageTokenInvalid):
                    page_of(other, 0, token)
    assert page_of(ActionQuestion("a"), 7, token_of(ActionQuestion("a"), (3, 1))) == Page(7, (3, 1))
    assert page_of(AgentQuestion("a"), 9999, token_of(AgentQuestion("a"), ("sre-1",))) == Page(
        500, ("sre-1",)
    )


def test_no_token_is_the_beginning_and_no_end_is_no_token() -> None:
    assert page_of(QUESTIONS[0], 3, "") == Page(3, None)
    assert token_of(QUESTIONS[0], None) == ""
    with pytest.raises(Invalid, match="page_size"):
        page_of(QUESTIONS[0], -1, "")


@given(st.text(max_size=60))
def test_nonsense_is_refused(token: str) -> None:
    if token:
        with pytest.raises(PageTokenInvalid):
            page_of(QUESTIONS[0], 1, token)


@pytest.mark.parametrize("cursor", [[], [1, 2], ["1"], [1.5], [True], [-1], [2**63], [None], [[1]], [{}]])
def test_a_forged_cursor_is_refused(cursor: list[object]) -> None:
    token = token_of(QUESTIONS[0], (7,))
    mark = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]
    forged = base64.urlsafe_b64encode(json.dumps([mark, *cursor]).encode()).decode().rstrip("=")
    with pytest.raises(PageTokenInvalid):
        page_of(QUESTIONS[0], 1, forged)
