"""The side of who waits for words: who is there, what has been said, and who says nothing."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nats.aio.subscription import Subscription

from chassis.eventlog.subjects import spelled
from chassis.eventlog.wire import Connection, NotConnected
from chassis.powers import words
from chassis.powers.announcing import announced
from chassis.powers.holding import HERE_SECONDS
from chassis.powers.words import Word, WordRefused
from chassis.process import monotonic, now
from chassis.signing import PublicKey
from chassis.telemetry import get_logger
from kernel.events import Recorded

AWAITED_SECONDS = 4 * HERE_SECONDS
"""Whoever was there so lately is waited for."""
NAMED_SECONDS = 300.0
"""Whoever was there so lately and went without a goodbye is named when it says nothing, though not waited for."""
GOODBYE_SECONDS = 10.0
"""A goodbye counts so long, by the clocks of both: who keeps an old one can hide nobody who stands still now."""
REMEMBERED, MOST_OF_ONE = 1000, 500
_LOOK_SECONDS = 0.25
_log = get_logger("chassis.powers")


class Holder(NamedTuple):
    """One surface of one process; without them, of a service nobody has heard which ones it has."""

    service: str
    replica: str = ""
    surface: str = ""

    def __str__(self) -> str:
        return f"{self.service}/{self.replica}:{self.surface}" if self.replica else self.service


class Present(NamedTuple):
    """When a process was last heard to be there, by the clock here; what it holds, and when it said so by its own."""

    seen: float
    surfaces: tuple[str, ...]
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """Every word that is properly signed, in order of speaking; and who should have spoken and did not."""

    words: tuple[Word, ...]
    silent: tuple[str, ...]


class Hearing:
    """Hears everything that is said of lost power, from `start` on. Fed with events by `take`, for the keys in them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys: dict[tuple[str, str], PublicKey] = {}
        self._here: dict[tuple[str, str], Present] = {}
        self._gone: set[str] = set()
        self._said: OrderedDict[tuple[str, str], dict[bytes, Word | None]] = OrderedDict()
        self._listening: list[Subscription] = []
        self._since = 0.0
        self._news = asyncio.Event()

    async def start(self) -> None:
        for subject, sink in ((f"{words.HERE}.*.*", self._here_is), (f"{words.LOST}.*.*", self._is_said)):
            self._listening.append(await self._connection.listen(subject, sink))
        self._since = monotonic()

    async def stop(self) -> None:
        for subscription in self._listening:
            await self._connection.unlisten(subscription)

    async def take(self, events: Sequence[Recorded]) -> None:
        """Learn the keys that `events` announce."""
        for recorded in events:
            if recorded.event_type == "SigningKeyAnnounced" and (found := announced(recorded)) is not None:
                self._keys[found[0]] = found[1]
                self._tell()

    async def collect(
        self, tenant: str, agent_id: str, sequence: int, wait_seconds: float, *, again: bool = False
    ) -> Heard:
        """The words about one revocation, as soon as everybody who is waited for has spoken.

        With `again`, everybody is asked to repeat what was said before somebody listened here.
        """
        until = monotonic() + wait_seconds
        self._write(f"{words.NOW}.{tenant}.{agent_id}", b"%d" % sequence)
        if again:
            self._write(f"{words.AGAIN}.{tenant}.{agent_id}", b"")
        while True:
            found = self._words(tenant, agent_id, sequence)
            left = until - monotonic()
            if left <= 0 or (self._knows_everybody() and not self._missing(found, AWAITED_SECONDS)):
                break
            news = self._news
            try:
                async with asyncio.timeout(min(left, _LOOK_SECONDS)):  # somebody's time may run out meanwhile
                    await news.wait()
            except TimeoutError:
                continue
        silent = sorted(str(each) for each in self._missing(found, NAMED_SECONDS))
        refused = [token for token, word in self._of(tenant, agent_id).items() if word is None]
        for token in refused:
            self._log_refused(token, agent_id)
        return Heard(tuple(found.values()), tuple(silent))

    def _knows_everybody(self) -> bool:
        """Whether everybody who is there has had time to say so."""
        return monotonic() - self._since > 1.5 * HERE_SECONDS

    def _missing(self, found: dict[Holder, Word], within_seconds: float) -> list[Holder]:
        at = monotonic()
        missing = [
            holder
            for (service, replica), present in self._here.items()
            if at - present.seen <= within_seconds
            for surface in present.surfaces
            if (holder := Holder(service, replica, surface)) not in found
        ]
        if at - self._since <= within_seconds:
            missing += self._never_heard({each.service for each in found})
        return missing

    def _never_heard(self, spoke: set[str]) -> list[Holder]:
        """Services the log knows of and nobody here has heard: one may stand still since before this process began."""
        here = {service for service, _ in self._here}
        return [Holder(each) for each in {service for service, _ in self._keys} - here - self._gone - spoke]

    def _words(self, tenant: str, agent_id: str, sequence: int) -> dict[Holder, Word]:
        """The first of each holder: power that is gone does not go again."""
        found: dict[Holder, Word] = {}
        said = self._of(tenant, agent_id)
        for token, known in said.items():
            try:
                # Read again if it could not be: the key may have been announced since.
                word = known or words.read(token, self._keys)
            except WordRefused:
                continue
            said[token] = word
            if (word.tenant, word.agent_id, word.revocation_sequence) == (tenant, agent_id, sequence):
                found.setdefault(Holder(word.service, word.replica, word.surface), word)
        return found

    def _of(self, tenant: str, agent_id: str) -> dict[bytes, Word | None]:
        return self._said.get((tenant, agent_id), {})

    def _log_refused(self, token: bytes, agent_id: str) -> None:
        try:
            words.read(token, self._keys)
        except WordRefused as problem:
            _log.warning("a word about lost power does not count", agent=agent_id, why=str(problem))

    def _write(self, subject: str, payload: bytes) -> None:
        try:
            self._connection.write(subject, b"", b"", payload)
        except NotConnected:
            return  # whoever does not answer is named

    def _here_is(self, subject: bytes, _reply: bytes, payload: bytes, _header: bytes | None) -> None:
        try:
            said = words.read_here(payload, self._keys)
        except WordRefused:
            return  # of nobody, or of one whose key is not here yet: it says so again in a second
        who = said.service, said.replica
        if spelled(subject).split(".")[2:4] != [*who]:
            return
        known = self._here.get(who)
        if said.surfaces:
            # What is older than what was heard may be a replay: it is no reason to wait for less.
            newer = said if known is None or said.at_us > known.at_us else known
            self._here[who] = Present(monotonic(), newer.surfaces, newer.at_us)
            if len(self._here) > REMEMBERED:
                del self._here[min(self._here, key=lambda each: self._here[each].seen)]
        elif known is not None and said.at_us > known.at_us and self._is_fresh(said):
            del self._here[who]
            self._gone.add(said.service)
        self._tell()

    @staticmethod
    def _is_fresh(said: words.Here) -> bool:
        return abs(now().timestamp() - said.at_us / 1e6) <= GOODBYE_SECONDS

    def _is_said(self, subject: bytes, _reply: bytes, payload: bytes, _header: bytes | None) -> None:
        tenant, agent_id = spelled(subject).split(".")[2:4]
        said = self._said.setdefault((tenant, agent_id), {})
        if len(payload) <= words.MAX_WORD_BYTES and len(said) < MOST_OF_ONE:
            said.setdefault(bytes(payload))
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
