"""The template miner: what it masks, what it groups, and that it stays small."""

from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.agents.drain import MAX_CHARS, MAX_WORDS, WILD, Miner


def test_numbers_addresses_paths_and_ids_are_masked() -> None:
    miner = Miner()
    assert miner.mask("Took 3.14 seconds") == "Took <*> seconds"
    assert miner.mask("from 10.0.0.1:8080 to blk_-7128370237687728475") == "from <*> to blk_-<*>"
    assert miner.mask("open /var/log/app failed") == "open <*> failed"
    assert miner.mask("user=root tty=ssh") == "user=<*> tty=ssh"
    assert miner.mask("  plain   words\tonly ") == "plain words only"


def test_messages_that_differ_in_what_varies_share_a_template() -> None:
    miner = Miner()
    first = miner.add("Accepted password for alice from 10.0.0.1 port 4711 ssh2")
    second = miner.add("Accepted password for bob from 10.0.0.2 port 4712 ssh2")
    assert first == second
    assert miner.groups[first].template == "Accepted password for <*> from <*> port <*> <*>"
    assert miner.groups[first].count == 2


def test_messages_that_say_different_things_do_not() -> None:
    miner = Miner()
    assert miner.add("VM Paused (Lifecycle Event)") != miner.add("VM Resumed (Lifecycle Event)")
    assert miner.add("session opened for user root") != miner.add("session closed for user root")


def test_the_tree_stays_within_its_limits() -> None:
    miner = Miner(max_groups=50)
    letters = "abcdefghijklmnopqrstuvwxyz"
    for i in range(5_000):
        miner.add(" ".join(letters[(i * k) % 26] * (1 + (i * k) % 9) for k in range(1, 2 + i % 12)))
    assert len(miner.groups) == 50
    assert sum(group.count for group in miner.groups) == 5_000


def test_an_endless_message_counts_for_its_first_part() -> None:
    miner = Miner()
    assert len(miner.mask("word " * 1_000_000).split()) == MAX_WORDS + 1
    assert len(miner.mask("x" * 32_000_000)) == MAX_CHARS


@given(st.lists(st.text(max_size=60), max_size=40))
def test_mining_is_deterministic_and_counts_every_message(messages: list[str]) -> None:
    one, other = Miner(), Miner()
    placed = [one.add(message) for message in messages]
    assert placed == [other.add(message) for message in messages]
    assert sum(group.count for group in one.groups) == len(messages)


@given(st.text(max_size=200))
def test_masking_leaves_no_digit_and_is_stable(message: str) -> None:
    miner = Miner()
    masked = miner.mask(message)
    assert not any(c.isascii() and c.isdigit() for c in masked)
    assert miner.mask(masked).count(WILD) >= masked.count(WILD)
