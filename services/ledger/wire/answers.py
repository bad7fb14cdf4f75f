"""Heads, proofs and findings as protobuf messages."""

from provost.ledger.v1 import ledger_pb2 as pb
from services.ledger.domain.entry import microseconds
from services.ledger.domain.records import Inclusion, Progress, SignedHead, Verdict
from services.ledger.wire.times import to_wire


def head_to_wire(head: SignedHead) -> pb.TreeHead:
    return pb.TreeHead(
        origin=head.checkpoint.origin,
        tree_size=head.checkpoint.size,
        root_hash=head.checkpoint.root,
        checkpoint=head.note,
        at=None if head.at is None else to_wire(microseconds(head.at)),
        witnesses=head.witnesses,
    )


def inclusion_to_wire(proof: Inclusion) -> pb.GetInclusionProofResponse:
    return pb.GetInclusionProofResponse(
        leaf_index=proof.leaf_index,
        leaf_hash=proof.entry.leaf_hash,
        path=proof.path,
        tree_head=head_to_wire(proof.head),
        subject=proof.entry.subject,
        header_block=proof.entry.header,
        payload=proof.entry.payload,
    )


def verdict_to_wire(verdict: Verdict) -> pb.VerifyLedgerResponse:
    return pb.VerifyLedgerResponse(
        ok=verdict.ok,
        checks=[
            pb.VerifyLedgerResponse.Check(name=each.name, ok=each.ok, detail=each.detail)
            for each in verdict.findings
        ],
        tree_head=None if verdict.head is None else head_to_wire(verdict.head),
        first_bad_sequence=verdict.first_bad_sequence,
    )


def progress_to_wire(progress: Progress, events_per_second: float) -> pb.RebuildLedgerResponse:
    return pb.RebuildLedgerResponse(
        events=progress.events,
        target=progress.target,
        done=progress.done,
        root_hash=progress.root,
        swapped=progress.swapped,
        detail=progress.detail,
        events_per_second=events_per_second,
    )
