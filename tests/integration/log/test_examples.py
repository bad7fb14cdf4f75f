"""examples/subscribe.py, as users run it: both forms, cut off in the middle, gone on without a gap or a repetition;
and what docs/events.md has for those who only listen."""

import asyncio
import re
import sys
from functools import partial
from pathlib import Path

import pytest

from chassis.eventlog.headers import block
from services.ledger.wire.cloudevents import cloudevent, public_subject
from tests.fakes.wait import until
from tests.integration.log.test_subscribers import Shared, shared

__all__ = ["shared"]
ROOT = Path(__file__).parents[3]
KIND = "provost.policy.v1.AgentRevoked"
PAYLOAD = (ROOT / "tests" / "golden" / KIND / "1.bin").read_bytes()
COUNT = 300


async def happens(shared: Shared, first: int) -> None:
    """So many events in both forms, of acme and of another; every tenth twice, as after a repair."""
    for n in range(first, first + COUNT):
        for _ in range(2 if n % 10 == 0 else 1):
            for tenant in ("other", "acme"):
                subject = f"evt.{tenant}.policy.agent.{tenant}-{n}.AgentRevoked"
                lines = {"ce-id": f"{tenant}-{n}", "ce-type": KIND, "ce-time": "2026-01-02T03:04:05Z"}
                lines |= {"ce-subject": f"agent/{tenant}-{n}", "ce-source": "provost/policy"}
                head = block("".join(f"{name}: {value}\r\n" for name, value in lines.items()))
                shared.ours.write(subject, b"", head, PAYLOAD)
                shared.ours.write(public_subject(subject), b"", b"", cloudevent(n, subject, lines, PAYLOAD))
    await shared.ours.flush()


@pytest.mark.parametrize("form", ["json", "protobuf"])
async def test_it_goes_on_where_it_ended(shared: Shared, tmp_path: Path, form: str) -> None:
    output = tmp_path / "output"
    script = str(ROOT / "examples" / "subscribe.py")
    command = [
        script,
        str(tmp_path / "keys" / "acme.url"),
        "--form",
        form,
        "--position",
        str(tmp_path / "position"),
    ]

    def told() -> list[str]:
        return [line.split()[2] for line in output.read_text().splitlines() if line.endswith("}")]

    await happens(shared, 0)
    for enough in (100, 2 * COUNT):
        with output.open("a") as file:
            child = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=file, stderr=file)
        text = f"not {enough} were told"
        await until(partial(lambda n: len(set(told())) >= n, enough), text, 30)
        child.kill()  # wherever it is
        await child.wait()
        if enough == 100:
            await happens(shared, COUNT)
    found = told()
    assert list(dict.fromkeys(found)) == [f"agent/acme-{n}" for n in range(2 * COUNT)]
    assert len(found) <= 2 * COUNT + 1, "more than the one it was killed in was told twice"


async def test_each_subscription_goes_on_with_its_own(shared: Shared, tmp_path: Path) -> None:
    url, script = str(tmp_path / "keys" / "acme.url"), str(ROOT / "examples" / "subscribe.py")
    output = tmp_path / "output"
    await happens(shared, 0)

    async def told(enough: int, positions: int, *options: str) -> None:
        with output.open("w") as file:
            child = await asyncio.create_subprocess_exec(
                sys.executable, script, url, *options, cwd=tmp_path, stdout=file, stderr=file
            )
        text = f"{options}: not {enough} were told"
        await until(lambda: output.read_text().count("agent/acme-") >= enough, text)
        await until(
            lambda: len(list(tmp_path.glob("*.position"))) == positions, "it does not keep where it is"
        )
        child.kill()
        await child.wait()

    last = ("--form", "protobuf", "--only", f"policy.agent.acme-{COUNT - 1}.AgentRevoked")
    await told(1, 1, *last)
    await told(COUNT, 2, "--form", "protobuf")
    await told(COUNT, 3)
    kept = sorted(path.name for path in tmp_path.glob("*.position"))
    assert kept == [
        "subscribe.acme.json.position",
        f"subscribe.acme.protobuf.policy.agent.acme-{COUNT - 1}.AgentRevoked.position",
        "subscribe.acme.protobuf.position",
    ]
    for theirs in (kept[1], "older"):
        (tmp_path / "older").write_text('{"sequence": 600, "ids": []}')
        child = await asyncio.create_subprocess_exec(
            sys.executable, script, url, "--position", theirs,
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, problem = await asyncio.wait_for(child.communicate(), 30)
        assert (child.returncode, out) == (1, b"")
        assert b"is the position of another subscription" in problem
        assert b"Traceback" not in problem


async def test_the_listener_of_the_documentation_hears_what_comes(shared: Shared, tmp_path: Path) -> None:
    document = (ROOT / "docs" / "events.md").read_text("utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    (tmp_path / "listen.py").write_text(program)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-u", tmp_path / "listen.py", tmp_path / "keys" / "acme.url", "pub.acme.>",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    hearing = asyncio.ensure_future(child.stdout.readline())

    async def heard() -> bool:
        for tenant in ("other", "acme"):  # again and again: nobody says when it has begun to listen
            subject = f"pub.{tenant}.policy.agent.a.AgentRevoked"
            shared.ours.write(subject, b"", block("Provost-Sequence: 31\r\n"), b"{}")
        await shared.ours.flush()
        return hearing.done()

    await until(heard, "it hears nothing")
    child.kill()
    await child.wait()
    assert await hearing == b"pub.acme.policy.agent.a.AgentRevoked 31\n"
