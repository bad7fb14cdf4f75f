"""Erasing over gRPC: who may, what is refused, and what is answered when there is nothing left to erase."""

import grpc.aio
import pytest

from provost.ledger.v1 import ledger_pb2 as pb
from tests.rpc.ledger.conftest import Caller


def asked(
    subject: str = "alice", reason: str = "she asked", request_id: str = "e1"
) -> pb.EraseSubjectRequest:
    return pb.EraseSubjectRequest(request_id=request_id, subject=subject, reason=reason)


async def test_the_key_is_gone_when_it_is_answered(viewer: Caller) -> None:
    admin = viewer.as_("admin")
    seal = await viewer.keys.of_subject("default", "alice")
    erased = (await admin.ask("EraseSubject", asked())).erasure
    assert (erased.key_id, erased.by, erased.reason) == (seal.key_id, "key:tests", "she asked")
    assert erased.sequence
    assert "alice" not in str(erased)
    assert viewer.keys.held == {}
    again = (await admin.ask("EraseSubject", asked())).erasure
    assert again == erased
    another = (await admin.ask("EraseSubject", asked(request_id="e2"))).erasure
    assert another.key_id == erased.key_id, "there was nothing left to erase"
    listed = await viewer.as_("auditor").ask("ListErasures", pb.ListErasuresRequest())
    assert list(listed.erasures) == [erased]


async def test_a_subject_that_comes_back_is_erased_again(viewer: Caller) -> None:
    admin = viewer.as_("admin")
    keys = set()
    for n in range(3):
        await viewer.keys.of_subject("default", "alice")
        keys.add((await admin.ask("EraseSubject", asked(request_id=f"e{n}"))).erasure.key_id)
    assert len(keys) == 3
    pages, token = [], ""
    while True:
        page = await viewer.as_("auditor").ask(
            "ListErasures", pb.ListErasuresRequest(page_size=2, page_token=token)
        )
        pages.append([each.key_id for each in page.erasures])
        if not (token := page.next_page_token):
            break
    assert [len(page) for page in pages] == [2, 1]
    assert {key_id for page in pages for key_id in page} == keys


async def test_tenants_erase_their_own(viewer: Caller) -> None:
    theirs = await viewer.keys.of_subject("acme", "alice")
    erased = (await viewer.as_("admin").ask("EraseSubject", asked())).erasure
    assert erased.key_id == ""
    assert ("acme", theirs.key_id) in viewer.keys.held
    listed = await viewer.as_("auditor", tenant="acme").ask("ListErasures", pb.ListErasuresRequest())
    assert list(listed.erasures) == []


@pytest.mark.parametrize(
    ("request_", "roles", "code"),
    [
        (asked(), ("auditor",), grpc.StatusCode.PERMISSION_DENIED),
        (asked(subject=""), ("admin",), grpc.StatusCode.INVALID_ARGUMENT),
        (asked(subject="a" * 201), ("admin",), grpc.StatusCode.INVALID_ARGUMENT),
        (asked(subject="ali\nce"), ("admin",), grpc.StatusCode.INVALID_ARGUMENT),
        (asked(reason=" "), ("admin",), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_is_refused(
    viewer: Caller, request_: pb.EraseSubjectRequest, roles: tuple[str, ...], code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await viewer.as_(*roles).ask("EraseSubject", request_)
    assert refused.value.code() is code


async def test_a_token_is_good_for_its_own_tenant_alone(viewer: Caller) -> None:
    for name in ("alice", "bob"):
        await viewer.as_("admin").ask("EraseSubject", asked(subject=name, request_id=name))
    token = (
        await viewer.as_("auditor").ask("ListErasures", pb.ListErasuresRequest(page_size=1))
    ).next_page_token
    assert token
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await viewer.as_("auditor", tenant="acme").ask(
            "ListErasures", pb.ListErasuresRequest(page_token=token)
        )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "request_",
    [
        pb.ListErasuresRequest(page_size=-1),
        *(pb.ListErasuresRequest(page_token=token) for token in ("x", "1", "9" * 5000)),
    ],
)
async def test_a_bad_page_is_refused(viewer: Caller, request_: pb.ListErasuresRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await viewer.as_("auditor").ask("ListErasures", request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
