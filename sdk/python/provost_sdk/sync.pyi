# Rendered from provost_sdk.client by `python -m tests.unit.sdk.sync_stub`: not edited.

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from provost.gateway.v1 import gateway_pb2
from provost.ledger.v1 import ledger_pb2
from provost.orchestrator.v1 import orchestrator_pb2
from provost.policy.v1 import policy_pb2
from provost.state.v1 import state_pb2

class Client:
    def __init__(
        self,
        address: str = "127.0.0.1:7000",
        key: str = "",
        *,
        timeout_seconds: float = 30.0,
        ca_file: Path | None = None,
        tenant: str = "",
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def status(self) -> gateway_pb2.GetStatusResponse: ...
    def process_log(
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
    ) -> orchestrator_pb2.Run: ...
    def start_run(
        self,
        agent: str,
        task: str,
        objective: str,
        *,
        mode: str = "safe",
        subject: str = "",
        request_id: str = "",
    ) -> orchestrator_pb2.Run: ...
    def get_run(self, run_id: str, *, wait_seconds: int = 0) -> orchestrator_pb2.Run: ...
    def list_runs(
        self, *, state: str = "", page_size: int = 0, page_token: str = ""
    ) -> orchestrator_pb2.ListRunsResponse: ...
    def list_approvals(
        self, *, state: str = "", run_id: str = "", page_size: int = 0, page_token: str = ""
    ) -> policy_pb2.ListApprovalsResponse: ...
    def answer_approval(
        self,
        approval_id: str,
        *,
        approve: bool = False,
        comment: str = "",
        vote: str = "",
        request_id: str = "",
    ) -> policy_pb2.Approval: ...
    def verify_ledger(self, *, against_log: bool = True) -> ledger_pb2.VerifyLedgerResponse: ...
    def rebuild_ledger(self) -> Iterator[ledger_pb2.RebuildLedgerResponse]: ...
    def export_ledger(self, *, parquet: bool = True) -> Iterator[ledger_pb2.ExportLedgerResponse]: ...
    def repair_log(self, *, dry_run: bool) -> ledger_pb2.RepairLogResponse: ...
    def tree_head(self, *, at_least_sequence: int = 0) -> ledger_pb2.GetTreeHeadResponse: ...
    def erase_subject(self, subject: str, reason: str, *, request_id: str = "") -> ledger_pb2.Erasure: ...
    def list_erasures(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> ledger_pb2.ListErasuresResponse: ...
    def prove_event(self, event_id: str) -> ledger_pb2.GetInclusionProofResponse: ...
    def prove_leaf(self, leaf_index: int) -> ledger_pb2.GetInclusionProofResponse: ...
    def await_inclusion(
        self, event_id: str, *, timeout_seconds: float = 20.0
    ) -> ledger_pb2.GetInclusionProofResponse: ...
    def prove_growth(self, from_size: int, to_size: int) -> ledger_pb2.GetConsistencyProofResponse: ...
    def get_tile(self, level: int, index: int, width: int = 0) -> bytes: ...
    def get_entries(self, index: int, width: int = 0) -> Iterator[bytes]: ...
    def list_events(
        self,
        events: ledger_pb2.EventFilter | None = None,
        *,
        oldest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListEventsResponse: ...
    def get_event(self, event_id: str) -> ledger_pb2.LedgerEvent: ...
    def list_agent_actions(
        self,
        *,
        agent: str = "",
        task: str = "",
        run_id: str = "",
        action: str = "",
        decision: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListAgentActionsResponse: ...
    def list_agent_metrics(
        self, *, agent: str = "", page_size: int = 0, page_token: str = ""
    ) -> ledger_pb2.ListAgentMetricsResponse: ...
    def list_violations(
        self,
        *,
        agent: str = "",
        task: str = "",
        run_id: str = "",
        error_type: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListViolationsResponse: ...
    def list_promotions(
        self,
        *,
        agent: str = "",
        to_tier: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListPromotionsResponse: ...
    def list_approval_records(
        self,
        *,
        agent: str = "",
        task: str = "",
        run_id: str = "",
        action: str = "",
        state: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ledger_pb2.ListApprovalRecordsResponse: ...
    def trace_causes(self, event_id: str = "", *, effect_id: str = "") -> ledger_pb2.TraceCausesResponse: ...
    def replay_run(
        self, run_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> ledger_pb2.ReplayRunResponse: ...
    def watch_events(
        self, events: ledger_pb2.EventFilter | None = None, *, cursor: str = "", from_start: bool = False
    ) -> Iterator[ledger_pb2.WatchEventsResponse]: ...
    def get_agent_state(self, agent_id: str) -> state_pb2.AgentSnapshot: ...
    def get_packet(self, agent_id: str, *, version: int = 0) -> state_pb2.Packet: ...
    def list_packets(
        self, agent_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListPacketsResponse: ...
    def list_locks(
        self, *, task: str = "", page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListLocksResponse: ...
    def force_release_lock(
        self, agent_id: str, *, reason: str, request_id: str = ""
    ) -> state_pb2.ForceReleaseLockResponse: ...
    def list_stuck_agents(
        self, *, task: str = "", page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListStuckAgentsResponse: ...
    def get_task(self, task_id: str) -> state_pb2.GetTaskResponse: ...
    def list_tasks(self, *, page_size: int = 0, page_token: str = "") -> state_pb2.ListTasksResponse: ...
    def get_entry(self, task_id: str, section: str, key: str) -> state_pb2.Entry: ...
    def list_entries(
        self, task_id: str, *, section: str = "", page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListEntriesResponse: ...
    def put_entry(
        self,
        task_id: str,
        section: str,
        key: str,
        value: Any,
        *,
        agent: str = "",
        expected_version: int | None = None,
        labels: Sequence[str] = (),
        request_id: str = "",
    ) -> state_pb2.Entry: ...
    def remove_entry(
        self, task_id: str, section: str, key: str, *, agent: str = "", expected_version: int | None = None
    ) -> state_pb2.Entry: ...
    def list_messages(
        self,
        task_id: str,
        *,
        agent: str = "",
        acknowledged_too: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> state_pb2.ListMessagesResponse: ...
    def send_message(
        self,
        task_id: str,
        message_type: str,
        body: Any,
        *,
        to: str = "",
        agent: str = "",
        in_reply_to: str = "",
        labels: Sequence[str] = (),
        request_id: str = "",
    ) -> state_pb2.Message: ...
    def acknowledge_messages(
        self,
        task_id: str,
        agent_id: str,
        *,
        up_to_sequence: int = 0,
        message_ids: Sequence[str] = (),
        request_id: str = "",
    ) -> state_pb2.AcknowledgeMessagesResponse: ...
    def get_checkpoint(self, run_id: str, *, number: int = 0) -> state_pb2.Checkpoint: ...
    def list_checkpoints(
        self, run_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> state_pb2.ListCheckpointsResponse: ...
    def get_artifact(self, sha256: str) -> state_pb2.GetArtifactResponse: ...
    def verify_store(self) -> state_pb2.VerifyStoreResponse: ...
    def rebuild_store(self) -> state_pb2.RebuildStoreResponse: ...
    def watch_state(
        self,
        *,
        task: str = "",
        agent: str = "",
        cursor: str = "",
        interrupted: Callable[[str], None] | None = None,
    ) -> Iterator[state_pb2.WatchResponse]: ...
    def get_policy_set(self, version: str = "") -> policy_pb2.GetPolicySetResponse: ...
    def list_policy_sets(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> policy_pb2.ListPolicySetsResponse: ...
    def get_policy_set_schema(self) -> str: ...
    def validate_policy_set(self, document: str) -> policy_pb2.ValidatePolicySetResponse: ...
    def diff_policy_sets(
        self, *, new_document: str = "", new_version: str = "", old_version: str = ""
    ) -> policy_pb2.DiffPolicySetsResponse: ...
    def publish_policy_set(
        self, document: str, *, replaces: str, why: str = "", request_id: str = ""
    ) -> policy_pb2.PublishPolicySetResponse: ...
    def rollback_policy_set(
        self, to_version: str, *, replaces: str, why: str = "", request_id: str = ""
    ) -> policy_pb2.RollbackPolicySetResponse: ...
    def simulate_policy_set(
        self,
        *,
        document: str = "",
        version: str = "",
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        agent: str = "",
        max_flips: int = 0,
    ) -> Iterator[policy_pb2.SimulatePolicySetResponse]: ...
    def explain(
        self,
        agent: str,
        action: str,
        *,
        target: str = "",
        environment: str = "sandbox",
        parameters: Mapping[str, str] | None = None,
        mode: str = "auto",
        run: str = "explain",
        task: str = "",
        tier: str = "",
        version: str = "",
        steps_done: Sequence[str] = (),
    ) -> policy_pb2.ExplainResponse: ...
    def list_budgets(
        self,
        *,
        run: str = "",
        agent: str = "",
        task: str = "",
        page_size: int = 0,
        page_token: str = "",
        at_least_sequence: int = 0,
    ) -> policy_pb2.ListBudgetsResponse: ...
    def set_budget(
        self,
        scope: str,
        scope_id: str,
        limits: Mapping[str, int],
        *,
        window_seconds: int = 0,
        why: str = "",
        request_id: str = "",
    ) -> policy_pb2.SetBudgetResponse: ...
    def open_session(
        self, role_id: str, secret_id: str, *, request_id: str = ""
    ) -> policy_pb2.CreateSessionResponse: ...
    def authorize(
        self,
        agent: str,
        action: str,
        *,
        session_token: str,
        task: str,
        run: str,
        target: str = "localhost",
        environment: str = "sandbox",
        parameters: Mapping[str, str] | None = None,
        mode: str = "auto",
        approval_id: str = "",
        request_id: str = "",
    ) -> policy_pb2.AuthorizeResponse: ...
    def get_agent(self, agent_id: str, *, at_least_sequence: int = 0) -> policy_pb2.Agent: ...
    def list_agents(self, *, page_size: int = 0, page_token: str = "") -> policy_pb2.ListAgentsResponse: ...
    def register_agent(
        self, agent_id: str, tier: str, *, version: str = "", parent: str = "", request_id: str = ""
    ) -> policy_pb2.Agent: ...
    def create_secret(
        self, agent_id: str, *, wrap_seconds: int = 0, request_id: str = ""
    ) -> policy_pb2.CreateSecretResponse: ...
    def unwrap_secret(
        self, wrapping_token: str, *, request_id: str = ""
    ) -> policy_pb2.UnwrapSecretResponse: ...
    def suspend_agent(self, agent_id: str, *, why: str = "", request_id: str = "") -> policy_pb2.Agent: ...
    def resume_agent(self, agent_id: str, *, why: str = "", request_id: str = "") -> policy_pb2.Agent: ...
    def promote_agent(
        self, agent_id: str, to_tier: str, *, why: str = "", request_id: str = ""
    ) -> policy_pb2.PromoteAgentResponse: ...
    def demote_agent(
        self, agent_id: str, to_tier: str, *, why: str = "", request_id: str = ""
    ) -> policy_pb2.Agent: ...
    def revoke_agent(self, agent_id: str, *, reason: str = "", request_id: str = "") -> policy_pb2.Agent: ...
    def revoke(
        self, agent_id: str, *, reason: str = "", wait_ms: int = 0, request_id: str = ""
    ) -> policy_pb2.RevokeAgentResponse: ...
    def get_revocation_receipt(
        self, agent_id: str, *, at_least_sequence: int = 0
    ) -> policy_pb2.RevocationReceipt: ...
    def close(self) -> None: ...
    def reached(self) -> bool: ...
