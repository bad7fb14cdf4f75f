"""Ctrl-C while a program is still being read: it ends as it does later, and says nothing."""

import subprocess
import sys

import pytest

IMPATIENT = """
import os, runpy, signal, sys

class Impatient:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

program, module = sys.argv.pop(1), sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Impatient())
if program == "provost":
    from provost_sdk.cli import main
    main()
else:
    runpy.run_module(program, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("provost", "typer"),
        ("provost", "provost_sdk.cli.watching"),
        ("provost", "provost_sdk.client"),
        ("chassis.embedded", "chassis.process"),
        ("chassis.embedded", "chassis.embedded.services"),
    ],
)
def test_whoever_is_impatient_is_told_nothing(program: str, module: str) -> None:
    arguments = ["status"] if program == "provost" else []
    command = [sys.executable, "-c", IMPATIENT, program, module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
