"""The keys of subjects in memory: the real sealing, without a stream of keys."""

import hashlib

from chassis.sealing import Seal, key_id_of
from kernel.faults import Refused


class MemorySubjectKeys:
    """Implements `kernel.ports.SubjectKeys`; `erase` does at once what takes the ledger an event."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Seal] = {}
        self.generation = 0

    async def of_subject(self, tenant: str, subject: str) -> Seal:
        subject_id = self.subject_id(tenant, subject)
        for (whose, key_id), seal in self.held.items():
            if whose == tenant and key_id.startswith(subject_id):
                return seal
        self.generation += 1
        key_id = f"{subject_id}-{self.generation:016x}"
        seal = Seal(tenant, key_id, hashlib.sha256(key_id.encode()).digest())
        self.held[tenant, key_id] = seal
        return seal

    async def of_key(self, tenant: str, key_id: str) -> Seal:
        if (tenant, key_id) not in self.held:
            raise Refused(
                "SUBJECT_ERASED", "the subject of these data was erased; they cannot be read any more"
            )
        return self.held[tenant, key_id]

    async def seals(self, tenant: str, wanted: set[str]) -> dict[str, Seal]:
        return {key_id: self.held[tenant, key_id] for key_id in wanted if (tenant, key_id) in self.held}

    async def key_of(self, tenant: str, subject_id: str) -> str:
        return next(
            (key_id for whose, key_id in self.held if whose == tenant and key_id.startswith(subject_id)), ""
        )

    async def delete(self, tenant: str, subject_id: str, key_id: str) -> None:
        self.held.pop((tenant, key_id), None)

    def subject_id(self, tenant: str, subject: str) -> str:
        return hashlib.sha256(f"{tenant}/{subject}".encode()).hexdigest()[:32]

    def pepper(self, purpose: str) -> bytes:
        return hashlib.sha256(purpose.encode()).digest()

    def text(self, text: str) -> str:
        """`text` with everything in it opened, whoever's it is."""
        for seal in self.held.values():
            text = seal.open(text)
        return text

    def content(self, content: bytes) -> bytes:
        """A whole content, opened."""
        (seal,) = (seal for (_, key_id), seal in self.held.items() if key_id == key_id_of(content))
        return seal.open_bytes(content)

    def erase(self, tenant: str, key_id: str) -> None:
        del self.held[tenant, key_id]
