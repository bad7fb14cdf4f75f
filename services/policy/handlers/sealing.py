"""What is asked for as it is written down: personal data sealed under the key of the run's subject."""

from dataclasses import replace

from kernel.ports import Seal
from services.policy.domain.action import Action
from services.policy.domain.amounts import Amounts
from services.policy.domain.decision import DecisionRecord


def sealed_action(action: Action, seal: Seal | None) -> Action:
    """`action` with its target and the values of its parameters sealed."""
    if seal is None:
        return action
    parameters = {name: seal.seal(value) for name, value in action.parameters.items()}
    return replace(action, target=seal.seal(action.target), parameters=parameters)


def sealed_digest(digest: str, seal: Seal | None) -> str:
    """The digest an action is known by: with a key, one that nobody can try guesses against."""
    return digest if seal is None else seal.digest(digest)


def sealed_cost(cost: Amounts, seal: Seal | None) -> Amounts:
    """`cost` with its hosts sealed, the same one always the same, so that they can be told apart."""
    if seal is None or not cost.hosts:
        return cost
    return replace(cost, hosts=tuple(map(seal.seal_same, cost.hosts)))


def sealed_record(record: DecisionRecord, seal: Seal | None) -> DecisionRecord:
    """A decision as it is written down: what is personal in it sealed."""
    if seal is None:
        return record
    cost = None if record.cost is None else sealed_cost(record.cost, seal)
    action, explanation = sealed_action(record.action, seal), seal.seal(record.explanation)
    return replace(record, action=action, explanation=explanation, cost=cost)
