"""What is asked for as it is written down: personal data sealed under the key of the run's subject."""

from dataclasses import replace

from kernel.ports import Seal
from services.policy.domain.action import Action


def action_kept(action: Action, seal: Seal | None) -> Action:
    """`action` with its target and the values of its parameters sealed."""
    if seal is None:
        return action
    parameters = {name: seal.seal(value) for name, value in action.parameters.items()}
    return replace(action, target=seal.seal(action.target), parameters=parameters)


def digest_kept(digest: str, seal: Seal | None) -> str:
    """The digest an action is known by: with a key, one that nobody can try guesses against."""
    return digest if seal is None else seal.digest(digest)
