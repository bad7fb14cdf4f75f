"""A log template miner after Drain (He et al., "Drain: an online log parsing approach with fixed depth tree",
ICWS 2017).

A message is masked word by word (numbers, addresses, paths), then placed in a prefix tree of fixed depth:
number of words, first words, and below that a list of groups, of which the most similar takes it. It knows no
log format and no meaning of words.

Bounded: a message counts for `MAX_CHARS` characters and `MAX_WORDS` words, the tree for `max_groups` groups,
a leaf for `MAX_PER_LEAF`; whatever comes after that joins its nearest group, or the last one, which stands
for the rest.
"""

from __future__ import annotations

import re

WILD = "<*>"
MAX_CHARS = 2_000
MAX_WORDS = 80
MAX_PER_LEAF = 50
MAX_WORDS_REMEMBERED = 50_000
MAX_MESSAGES_REMEMBERED = 50_000

# What varies inside a word: a path; the name after `user=`; whatever contains a digit (numbers, hexadecimal,
# addresses, ids, times), together with the pieces that punctuation joins to it.
MASK = re.compile(
    r"""(?:(?<=[\s=\[("',:])|^)/[^\s,:;()\[\]"']*"""
    r"""|(?<=user=)[\w.@-]+"""
    r"""|(?<![a-zA-Z_])[a-zA-Z_]*+\d\w*+(?:[.:,/-]\w*\d\w*+)*+"""
)


class _Words(dict[str, str]):
    """Word → masked word, each worked out once. Forgets everything when full: cheaper than deciding what to
    keep.
    """

    def __missing__(self, word: str) -> str:
        masked = word if word.isalpha() else MASK.sub(WILD, word)
        if len(self) >= MAX_WORDS_REMEMBERED:
            self.clear()
        self[word] = masked
        return masked


class Group:
    """Messages that share a template."""

    __slots__ = ("count", "words")

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.count = 0

    @property
    def template(self) -> str:
        """The words that all messages of the group share, the others as `<*>`."""
        return " ".join(self.words)


class Miner:
    """Groups messages by template, one at a time. The same messages in the same order give the same groups.

    `similarity` is the share of equal words that two messages need to be one template, `depth` the number of
    leading words that the tree looks at, `max_children` how many different words one step of the tree tells
    apart.
    """

    def __init__(
        self,
        *,
        similarity: float = 0.7,
        depth: int = 2,
        max_children: int = 100,
        max_groups: int = 5_000,
    ) -> None:
        self.groups: list[Group] = []
        self._similarity = similarity
        self._depth = depth
        self._max_children = max_children
        self._max_groups = max_groups
        self._masked = _Words()
        self._known: dict[str, int] = {}  # masked message → group
        self._leaves: dict[tuple[int | str, ...], list[int]] = {}
        self._children: dict[tuple[int, str], set[str]] = {}

    def mask(self, message: str) -> str:
        """The message with what varies masked and runs of white space made one space; cut to the limits
        above.
        """
        words = message[:MAX_CHARS].split(None, MAX_WORDS)
        if len(words) > MAX_WORDS:
            words[MAX_WORDS] = WILD
        return " ".join(map(self._masked.__getitem__, words))

    def add(self, message: str) -> int:
        """Places one message; answers the index of its group in `groups`."""
        masked = self.mask(message)
        found = self._known.get(masked)
        if found is None:
            found = self.place(masked)
            if len(self._known) >= MAX_MESSAGES_REMEMBERED:
                self._known.clear()
            self._known[masked] = found
        self.groups[found].count += 1
        return found

    def place(self, masked: str) -> int:
        """The index of the group that a masked message belongs to, made or widened when needed; does not
        count it.
        """
        words = masked.split(" ")
        leaf = self._leaves.setdefault(self._leaf(words), [])
        best, most = -1, -1
        for index in leaf:
            same = sum(map(str.__eq__, self.groups[index].words, words))
            if same > most:
                best, most = index, same
        full = len(leaf) >= MAX_PER_LEAF or len(self.groups) >= self._max_groups
        if best >= 0 and (full or most >= self._similarity * len(words)):
            group = self.groups[best]
            if most < len(words):
                group.words = [a if a == b else WILD for a, b in zip(group.words, words, strict=True)]
            return best
        if len(self.groups) >= self._max_groups:
            self.groups[-1].words = [WILD]
            return len(self.groups) - 1
        self.groups.append(Group(words))
        leaf.append(len(self.groups) - 1)
        return len(self.groups) - 1

    def _leaf(self, words: list[str]) -> tuple[int | str, ...]:
        """Where the tree leads: the number of words and the first of them, wild where they vary too much to
        branch on.
        """
        path = [WILD if WILD in word else word for word in words[: self._depth]]
        above = ""
        for step, word in enumerate(path):
            children = self._children.setdefault((len(words), above), set())
            if word not in children:
                if len(children) >= self._max_children:
                    word = path[step] = WILD  # noqa: PLW2901 (the branch for all others)
                else:
                    children.add(word)
            above = f"{above} {word}"
        return (len(words), *path)
