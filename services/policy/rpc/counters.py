"""How many decisions of which kind: what Prometheus sees of them."""

from prometheus_client import Counter

from services.policy.handlers.ask import Answer

DECISIONS = Counter(
    "provost_policy_decisions", "Decisions answered, by verdict and reason.", ("verdict", "reason")
)

_children: dict[tuple[str, str], Counter] = {}


def count(answer: Answer) -> None:
    """Count every decision of `answer`."""
    kinds: dict[tuple[str, str], int] = {}
    for each in answer.decisions:
        kind: tuple[str, str] = (each.judgement.verdict, each.judgement.reason)
        kinds[kind] = kinds.get(kind, 0) + 1
    for kind, number in kinds.items():
        child = _children.get(kind)
        if child is None:
            child = _children[kind] = DECISIONS.labels(*kind)
        child.inc(number)
