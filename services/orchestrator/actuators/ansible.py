"""Ansible in check mode on this machine (T1): says what a play would change, and changes nothing.

Plays are files beside this one; parameters reach them as extra variables in JSON, never as text of a play.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

from services.orchestrator.actuators.actuator import ActuatorFailed, Finding, Offer, Parameter
from services.orchestrator.actuators.command import run
from services.orchestrator.domain.records import Action, Tier

PLAYS = Path(__file__).with_name("plays")
TIMEOUT_SECONDS = 120.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,254}")
_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"
_PATH = re.compile(rf"/(?:{_SEGMENT}(?:/{_SEGMENT}){{0,19}}/?)?")

# Each play and the one parameter it takes.
NEEDS = {
    "service_running": "service",
    "disk_space": "path",
    "time_synchronised": None,
    "package_present": "package",
    "sshd_hardened": None,
}


class AnsibleCheck:
    """`ansible.check`."""

    offer = Offer(
        "ansible.check",
        Tier.T1_OPERATOR,
        "what a play would change here (check mode: nothing is changed)",
        read_only=True,
        parameters={
            "play": Parameter(re.compile("|".join(NEEDS)), f"one of {', '.join(NEEDS)}"),
            "service": Parameter(_NAME, "a service's name", required=False),
            "package": Parameter(_NAME, "a package's name", required=False),
            "path": Parameter(_PATH, "an absolute path", required=False),
        },
    )

    def unavailable(self) -> str:
        return "" if _playbook().exists() else "ansible-core is not installed beside this Python"

    def preview(self, action: Action) -> str:
        variables = {name: value for name, value in sorted(action.parameters.items()) if name != "play"}
        play = action.parameters["play"]
        return f"ansible-playbook --check --diff --connection=local {play}.yml {json.dumps(variables)}"

    async def perform(self, action: Action) -> Finding:
        play = action.parameters["play"]
        need = NEEDS[play]
        if need is not None and need not in action.parameters:
            raise ActuatorFailed("PARAMETER_INVALID", f"play {play} needs {need!r}")
        variables = {name: value for name, value in action.parameters.items() if name != "play"}
        with tempfile.TemporaryDirectory(prefix="provost-ansible-") as home:
            ran = await run(self._argv(play, variables), TIMEOUT_SECONDS, self._environment(home))
        return _finding(play, ran.exit_code, ran.output)

    def _argv(self, play: str, variables: dict[str, str]) -> list[str]:
        return [
            str(_playbook()), "--check", "--diff", "--connection=local", "--inventory=localhost,",
            f"--extra-vars={json.dumps({**variables, 'ansible_python_interpreter': sys.executable})}",
            str(PLAYS / f"{play}.yml"),
        ]  # fmt: skip

    def _environment(self, home: str) -> dict[str, str]:
        return {
            "HOME": home,
            "ANSIBLE_HOME": home,
            "ANSIBLE_LOCAL_TEMP": home,
            "ANSIBLE_REMOTE_TEMP": home,
            "ANSIBLE_CONFIG": str(PLAYS / "ansible.cfg"),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }


def _playbook() -> Path:
    return Path(sys.executable).with_name("ansible-playbook")


def _finding(play: str, exit_code: int, output: str) -> Finding:
    recap = re.search(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output)
    if recap is None:
        raise ActuatorFailed("ACTUATOR_FAILED", f"ansible-playbook answered {exit_code} and no recap", output)
    ok, changed, _, failed = map(int, recap.groups())
    if failed:
        return Finding(f"{play}: the check fails here ({failed} task(s) failed, {ok} ok)", output)
    if changed:
        return Finding(f"{play}: {changed} change(s) would be made", output)
    return Finding(f"{play}: all as it should be ({ok} checks)", output)
