"""How many decisions of which kind: what Prometheus sees of them."""

from prometheus_client import Counter

from services.policy.handlers.ask import Answer

DECISIONS = Counter(
    "provost_policy_decisions", "Decisions answered, by verdict and reason.", ("verdict", "reason")
)

_children: dict[tuple[str, str], Counter] = {}


def count(answer: Answer) -> None:
    """Count every decision of `answer`."""
    for each in answer.decisions:
        kind = (each.judgement.verdict.value, each.judgement.reason)
        child = _children.get(kind)
        if child is None:
            child = _children[kind] = DECISIONS.labels(*kind)
        child.inc()
