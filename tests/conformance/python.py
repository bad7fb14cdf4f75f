"""Goes through `script.json` with the Python client, and prints what it was answered, a line of JSON for each step.

`python -m tests.conformance.python SCRIPT GIVEN`, as every runner is called.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import orchestrator_pb2
from provost_sdk import Provost, ProvostError
from provost_sdk.models import as_dict, word
from provost_sdk.note import NotProved, read_key
from provost_sdk.proof_files import ProvedEvent, check_event_proof, write_event_proof
from tests.conformance.vectors import vectors

Answer = dict[str, Any]
Call = Callable[..., Awaitable[Answer]]


class Runner:
    """`known` is what was given, and what steps have saved."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given
        self.known: dict[str, str] = dict(given["values"])

    async def status(self, provost: Provost) -> Answer:
        found = await provost.status()
        return {"healthy": found.healthy, "components": sorted(each.name for each in found.components)}

    async def process_log(self, provost: Provost, **more: Any) -> Answer:
        run = await provost.process_log(**more)
        return {
            "run_id": run.run_id,
            "report_sha256": run.report_sha256,
            **_stage(run),
            "mode": word(run, "mode"),
            "cause": run.incident.cause,
            "severity": run.incident.severity,
            "plan": [each.action.name for each in run.plan],
            "verdicts": [word(each, "verdict") for each in run.decisions],
            "effects": [word(each, "state") for each in run.effects],
            "requested_by": run.requested_by,
        }

    async def artifact(self, provost: Provost, sha256: str, run_id: str) -> Answer:
        found = await provost.get_artifact(sha256)
        report = json.loads(found.content)
        return {
            "name": found.artifact.name,
            "media_type": found.artifact.media_type,
            "of_the_run": report["run"]["run_id"] == run_id,
            "actions": len(report["decisions"]),
        }

    async def authorize(self, provost: Provost, action: str, mode: str, request_id: str) -> Answer:
        answer = await provost.authorize(
            self.known["agent"],
            action,
            session_token=self.known["session_token"],
            task=self.known["task"],
            run=self.known["agent_run"],
            mode=mode,
            request_id=request_id,
        )
        made = as_dict(answer.decision)
        wanted = {key: made[key] for key in ("verdict", "reason", "rule", "tier", "obligations")}
        return wanted | {"permit": made["permit"] != ""}

    async def start_run(self, provost: Provost, agent: str, task: str, objective: str, **more: str) -> Answer:
        if more["mode"].isdigit():
            request = orchestrator_pb2.StartRunRequest(
                request_id=more["request_id"], agent_id=agent, task_id=task, objective=objective
            )
            request.mode = int(more["mode"])  # type: ignore[assignment]
            run = (await provost._call(provost._orchestrator.StartRun, request)).run
        else:
            run = await provost.start_run(agent, task, objective, **more)
        run = await provost.get_run(run.run_id, wait_seconds=20)
        return {"run_id": run.run_id, **_stage(run), "waits_for": len(run.waiting_for)}

    async def approvals(self, provost: Provost, run_id: str) -> Answer:
        found = (await provost.list_approvals(run_id=run_id)).approvals
        return {
            "approval_id": found[0].approval_id,
            "approvals": [
                {"action": each.action.name, "state": word(each, "state"), "agent": each.agent_id}
                for each in found
            ],
        }

    async def answer(self, provost: Provost, approval_id: str, approve: bool, comment: str = "") -> Answer:
        state = word(await provost.answer_approval(approval_id, approve=approve, comment=comment), "state")
        return {"state": "APPROVED" if state in ("APPROVED", "USED") else state}

    async def follow(self, provost: Provost, run_id: str) -> Answer:
        run = await provost.get_run(run_id, wait_seconds=20)
        while word(run, "state") in ("WAITING", "RUNNING"):  # the answer is on its way to it
            run = await provost.get_run(run_id, wait_seconds=20)
        return _ended(run)

    async def run(self, provost: Provost, run_id: str, unknown_field: bool = False) -> Answer:
        if not unknown_field:
            return _ended(await provost.get_run(run_id))
        request = orchestrator_pb2.GetRunRequest.FromString(b"\xc0\x3e\x01")  # field 1000, a number
        request.run_id = run_id
        return _ended((await provost._call(provost._orchestrator.GetRun, request)).run)

    async def late_head(self, provost: Provost, at_least_sequence: int, timeout_ms: int) -> Answer:
        request = ledger_pb2.GetTreeHeadRequest(at_least_sequence=at_least_sequence)
        head = await provost._call(provost._ledger.GetTreeHead, request, timeout_ms / 1000)
        return {"size": head.tree_head.tree_size}

    async def unreachable(self, _: Provost) -> Answer:
        async with Provost(self.given["closed_address"]) as nowhere:
            return {"healthy": (await nowhere.status()).healthy}

    async def watch(self, provost: Provost, log: str, request_id: str) -> Answer:
        wanted = ledger_pb2.EventFilter(context="orchestrator", aggregate="run")
        first = await anext(aiter(provost.watch_events(wanted)))
        run = await provost.process_log(log, strategy="classic", request_id=request_id)

        async def told() -> list[ledger_pb2.LedgerEvent]:
            found: list[ledger_pb2.LedgerEvent] = []
            async for answer in provost.watch_events(wanted, cursor=first.cursor):
                found += [each for each in answer.events if run.run_id in each.subject]
                if found and found[-1].event_type == "RunEnded":
                    break
            return found

        once, again = await told(), await told()
        sequences = [each.sequence for each in once]
        return {
            "event_id": once[-1].event_id,
            "types": [each.event_type for each in once],
            "in_order": sequences == sorted(set(sequences)),
            "again_is_the_same": [each.event_id for each in once] == [each.event_id for each in again],
        }

    async def prove(self, provost: Provost, event_id: str) -> Answer:
        proved = self._checked(await provost.await_inclusion(event_id), "verifier_key")
        kind = re.search(rb"^ce-type: *(.+)\r$", proved.header, re.MULTILINE)
        assert kind is not None
        return {"proved": True, "type": kind[1].decode(), "index_below_size": proved.index < proved.head.size}

    async def prove_tampered(self, provost: Provost, event_id: str) -> Answer:
        whole = await provost.await_inclusion(event_id)
        body, _, signed = whole.tree_head.checkpoint.partition("\n\n")
        lines = body.split("\n")
        at = signed.index("\n") - 20
        changes: dict[str, Callable[[ledger_pb2.GetInclusionProofResponse], None]] = {
            "payload": lambda p: setattr(p, "payload", p.payload + b"x"),
            "subject": lambda p: setattr(p, "subject", p.subject + "x"),
            "header": lambda p: setattr(p, "header_block", p.header_block[:-2] + b"x: 1\r\n\r\n"),
            "path": lambda p: p.path.__setitem__(0, bytes([p.path[0][0] ^ 1]) + p.path[0][1:]),
            "path cut": lambda p: p.path.__delitem__(-1),
            "index": lambda p: setattr(p, "leaf_index", p.leaf_index ^ 1),
            "size": lambda p: setattr(
                p.tree_head,
                "checkpoint",
                "\n".join([lines[0], str(int(lines[1]) + 1), *lines[2:]]) + "\n\n" + signed,
            ),
            "another key": lambda p: None,
            "signature": lambda p: setattr(
                p.tree_head,
                "checkpoint",
                f"{body}\n\n{signed[:at]}{'B' if signed[at] == 'A' else 'A'}{signed[at + 1 :]}",
            ),
        }
        outcome: Answer = {}
        for kind, change in changes.items():
            changed = ledger_pb2.GetInclusionProofResponse.FromString(whole.SerializeToString())
            change(changed)
            try:
                self._checked(changed, "other_verifier_key" if kind == "another key" else "verifier_key")
                outcome[kind] = "believed"
            except NotProved:
                outcome[kind] = "refused"
        return outcome

    async def event(self, provost: Provost, event_id: str) -> Answer:
        return {"type": (await provost.get_event(event_id)).event_type}

    async def vectors(self, _: Provost) -> Answer:
        return dict(vectors(Path(self.given["vectors"])))

    def _checked(self, answer: ledger_pb2.GetInclusionProofResponse, key: str) -> ProvedEvent:
        text = write_event_proof(
            answer.leaf_index,
            answer.path,
            answer.tree_head.checkpoint,
            answer.subject,
            answer.header_block,
            answer.payload,
        )
        return check_event_proof(text, read_key(self.known[key]))

    def filled(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return re.sub(r"\$\{(\w+)\}", lambda found: self.known[found[1]], value)


def _stage(run: orchestrator_pb2.Run) -> Answer:
    return {"state": word(run, "state"), "phase": word(run, "phase")}


def _ended(run: orchestrator_pb2.Run) -> Answer:
    return _stage(run) | {"effects": [word(each, "state") for each in run.effects]}


async def answered(runner: Runner, step: Mapping[str, Any]) -> Answer:
    """What one step is answered, as it is printed."""
    address, key, ca = runner.given["address"], runner.given["keys"][step["as"]], runner.given.get("ca_file")
    async with Provost(address, key, ca_file=Path(ca) if ca else None) as provost:
        call: Call = getattr(runner, step["call"])
        try:
            more = {key: runner.filled(each) for key, each in step.get("with", {}).items()}
            answer = await call(provost, **more)
        except ProvostError as problem:
            kind = type(problem).__name__
            answer = {"error": {"kind": kind, "reason": problem.reason, "retryable": problem.retryable}}
            if runner.given.get("with_text"):
                answer["error"]["text"] = str(problem)
    if "same" in step:
        answer = {"same": all(answer[key] == runner.filled(each) for key, each in step["same"].items())}
    runner.known |= {key: str(answer[key]) for key in step.get("save", ())}
    shown = {key: each for key, each in answer.items() if key not in step.get("hide", ())}
    return {"step": step["name"], "answer": shown}


async def main(script_path: str, given_path: str) -> None:
    script, given = (json.loads(Path(each).read_text("utf-8")) for each in (script_path, given_path))
    runner = Runner(given)
    for step in script["steps"]:
        print(json.dumps(await answered(runner, step)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
