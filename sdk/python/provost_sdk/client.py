"""The client: every offer of the gRPC front as an awaitable call that answers with messages of the protos.

Every call that changes something bears a request id, made here unless given, so that it is safe to send again; calls
that find nobody are sent again a few times by themselves.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from provost.gateway.v1 import gateway_pb2
from provost.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from provost.ledger.v1 import ledger_pb2
from provost.ledger.v1.ledger_pb2_grpc import LedgerServiceStub
from provost.orchestrator.v1 import orchestrator_pb2
from provost.orchestrator.v1.orchestrator_pb2_grpc import OrchestratorServiceStub
from provost.policy.v1 import policy_pb2
from provost.policy.v1.policy_pb2_grpc import PolicyServiceStub
from provost.state.v1.state_pb2_grpc import StateServiceStub
from provost_sdk.agent_calls import AgentCalls, tier_of
from provost_sdk.decision_calls import DecisionCalls
from provost_sdk.history_calls import HistoryCalls
from provost_sdk.log_calls import LogCalls
from provost_sdk.policy_calls import PolicyCalls
from provost_sdk.state_calls import StateCalls
from provost_sdk.transport import REPAIR_SECONDS, new_request_id
from provost_sdk.watch_calls import WatchCalls
from provost_sdk.words import named

__all__ = ["Provost", "tier_of"]

RUN_SECONDS = 300.0
EXPORT_SECONDS = 6 * 3600.0


class Provost(LogCalls, HistoryCalls, StateCalls, WatchCalls, PolicyCalls, DecisionCalls, AgentCalls):
    """A connection to the gateway at `address` (`host:port`), in the name of `key`; close it, or use `async with`.

    It is encrypted with `https://host:port`, or with a `ca_file`; an agent of another tenant than `default`, which has
    no key, says `tenant`: see `provost_sdk.transport`.

    Every method raises `ProvostError`; see `provost_sdk.errors`.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:7000",
        key: str = "",
        *,
        timeout_seconds: float = 30.0,
        ca_file: Path | None = None,
        tenant: str = "",
    ) -> None:
        super().__init__(address, key, timeout_seconds, ca_file, tenant)
        self._gateway = GatewayServiceStub(self._channel)
        self._orchestrator = OrchestratorServiceStub(self._channel)
        self._policy = PolicyServiceStub(self._channel)
        self._state = StateServiceStub(self._channel)
        self._ledger = LedgerServiceStub(self._channel)

    async def status(self) -> gateway_pb2.GetStatusResponse:
        """What is healthy, what lags and by how much; needs no key."""
        return await self._call(self._gateway.GetStatus, gateway_pb2.GetStatusRequest())

    async def process_log(
        self,
        log: bytes | str,
        *,
        mode: str = "safe",
        strategy: str = "",
        include_trace: bool = True,
        agent: str = "",
        forbidden: Sequence[str] = (),
        subject: str = "",
        request_id: str = "",
    ) -> orchestrator_pb2.Run:
        """Take a log through a governed run; returns when it has ended or waits for a person, or
        as it is after four minutes.

        `subject` is whose data the log is: under this name it can be erased. Without one, the run is its own.
        """
        request = orchestrator_pb2.ProcessLogRequest(
            request_id=request_id or new_request_id(),
            log=log.encode() if isinstance(log, str) else log,
            mode=named(policy_pb2.Mode, mode, "mode"),
            strategy=named(orchestrator_pb2.Strategy, strategy, "strategy"),
            include_trace=include_trace,
            agent_id=agent,
            forbidden=forbidden,
            subject=subject,
        )
        return (await self._call(self._orchestrator.ProcessLog, request, RUN_SECONDS)).run

    async def start_run(
        self,
        agent: str,
        task: str,
        objective: str,
        *,
        mode: str = "safe",
        subject: str = "",
        request_id: str = "",
    ) -> orchestrator_pb2.Run:
        """Start a run without a log; returns at once. `subject` as for `process_log`."""
        request = orchestrator_pb2.StartRunRequest(
            request_id=request_id or new_request_id(),
            agent_id=agent,
            task_id=task,
            objective=objective,
            mode=named(policy_pb2.Mode, mode, "mode"),
            subject=subject,
        )
        return (await self._call(self._orchestrator.StartRun, request)).run

    async def get_run(self, run_id: str, *, wait_seconds: int = 0) -> orchestrator_pb2.Run:
        """A run as it is; with `wait_seconds`, once it has ended or waits for a person, if it does in time."""
        request = orchestrator_pb2.GetRunRequest(run_id=run_id, wait_seconds=wait_seconds)
        answer = await self._call(self._orchestrator.GetRun, request, self._timeout_seconds + wait_seconds)
        return answer.run

    async def list_runs(
        self, *, state: str = "", page_size: int = 0, page_token: str = ""
    ) -> orchestrator_pb2.ListRunsResponse:
        """Runs, newest first; `state` as `WAITING`."""
        request = orchestrator_pb2.ListRunsRequest(
            page_size=page_size,
            page_token=page_token,
            state=named(orchestrator_pb2.RunState, state, "state"),
        )
        return await self._call(self._orchestrator.ListRuns, request)

    async def list_approvals(
        self, *, state: str = "", run_id: str = "", page_size: int = 0, page_token: str = ""
    ) -> policy_pb2.ListApprovalsResponse:
        """Requests for approval, newest first; without `state`, those that wait."""
        request = policy_pb2.ListApprovalsRequest(
            page_size=page_size,
            page_token=page_token,
            state=named(policy_pb2.ApprovalState, state, "state"),
            run_id=run_id,
        )
        return await self._call(self._policy.ListApprovals, request)

    async def answer_approval(
        self,
        approval_id: str,
        *,
        approve: bool = False,
        comment: str = "",
        vote: str = "",
        request_id: str = "",
    ) -> policy_pb2.Approval:
        """Approve or reject one exact action; needs an approver's key, and not that of who asked.

        `vote` instead of `approve`: `APPROVE`, `REJECT`, or `REQUEST_CHANGES`, which needs a comment that says which.
        """
        request = policy_pb2.AnswerApprovalRequest(
            request_id=request_id or new_request_id(),
            approval_id=approval_id,
            approve=approve,
            comment=comment,
            vote=named(policy_pb2.Vote, vote, "vote"),
        )
        return (await self._call(self._policy.AnswerApproval, request)).approval

    async def verify_ledger(self, *, against_log: bool = True) -> ledger_pb2.VerifyLedgerResponse:
        """Recompute the ledger and say what does not hold."""
        request = ledger_pb2.VerifyLedgerRequest(against_log=against_log)
        return await self._call(self._ledger.VerifyLedger, request, REPAIR_SECONDS)

    async def rebuild_ledger(self) -> AsyncIterator[ledger_pb2.RebuildLedgerResponse]:
        """Rebuild the ledger's database from the event log, told step by step. Needs an admin's key."""
        async for answer in self._answers(self._ledger.RebuildLedger, ledger_pb2.RebuildLedgerRequest()):
            yield answer

    async def export_ledger(self, *, parquet: bool = True) -> AsyncIterator[ledger_pb2.ExportLedgerResponse]:
        """Everything up to the newest signed head, as pieces of files. Needs an auditor's key."""
        request = ledger_pb2.ExportLedgerRequest(without_parquet=not parquet)
        async for answer in self._answers(self._ledger.ExportLedger, request, EXPORT_SECONDS):
            yield answer

    async def repair_log(self, *, dry_run: bool) -> ledger_pb2.RepairLogResponse:
        """Put back what the event log has lost of its end and the ledger still has. Needs an admin's key."""
        request = ledger_pb2.RepairLogRequest(dry_run=dry_run)
        return await self._call(self._ledger.RepairLog, request, REPAIR_SECONDS)
