"""The clock, the ids, and how a process starts and stops."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from chassis import process


@pytest.fixture(autouse=True)
def _machine_clock() -> Iterator[None]:
    yield
    process.set_clock_offset(0)


def test_the_clock_is_utc_and_can_be_set_off() -> None:
    before = process.now()
    process.set_clock_offset(600)
    after = process.now()
    assert before.utcoffset() == timedelta(0)
    assert timedelta(seconds=599) < after - before < timedelta(seconds=660)


def test_ids_are_uuid7_and_sort_by_time_even_when_the_clock_goes_back() -> None:
    ids = [process.new_id() for _ in range(2000)]
    process.set_clock_offset(-600)
    ids += [process.new_id() for _ in range(10)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 32 and each[12] == "7" and each[16] in "89ab" for each in ids)


def test_secrets_differ_and_jitter_stays_within() -> None:
    assert process.new_secret() != process.new_secret()
    assert all(0 <= process.jitter(0.5) <= 0.5 for _ in range(100))


def _start(body: str) -> subprocess.Popen[str]:
    code = f"import asyncio\nfrom chassis.process import run\nasync def main(stopping):\n {body}\nrun(main)\n"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_main_to_stop(number: signal.Signals) -> None:
    with _start("print('up', flush=True); await stopping.wait(); print('bye')") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(number)
        assert child.communicate(timeout=20)[0] == "bye\n"
    assert child.returncode == 0


def test_a_second_signal_does_not_wait() -> None:
    body = "print('up', flush=True); await stopping.wait(); print('on', flush=True); await asyncio.sleep(60)"
    with _start(body) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.terminate()
        assert child.stdout.readline() == "on\n"
        child.terminate()
        child.communicate(timeout=20)
    assert child.returncode == 1


def test_an_error_nobody_handled_ends_the_process_with_one() -> None:
    with _start("raise RuntimeError('broken')") as child:
        out, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert "broken" in out + err
