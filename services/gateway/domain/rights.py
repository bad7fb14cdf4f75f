"""Who may ask for what: one row for each REST route and each gRPC method. What is not here is refused.

`PUBLIC` asks for no key and is not counted against a rate. `BEARER` asks for no key because the request itself carries
credentials, which the service that is asked checks; it is counted against the caller's address.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.gateway.domain.callers import DEFAULT_TENANT, Role


@dataclass(frozen=True, slots=True)
class Right:
    """Any one of `roles` is enough; none at all means that no key is asked for.

    With `tenant`, nobody of another one. What is `openable` asks for no key where the log is open to everyone. What is
    asked `within` is asked by Provost's own services of each other: no key is enough for it.
    """

    roles: frozenset[Role] = frozenset()
    metered: bool = True
    tenant: str = ""
    openable: bool = False
    within: bool = False

    def __str__(self) -> str:
        return " or ".join(role for role in Role if role in self.roles) or "none"


PUBLIC = Right(metered=False)
BEARER = Right()
VIEWER = Right(frozenset({Role.VIEWER}))
OPERATOR = Right(frozenset({Role.OPERATOR}))
APPROVER = Right(frozenset({Role.APPROVER}))
AUDITOR = Right(frozenset({Role.AUDITOR}))
# The log shows what every tenant of this shard has: this tenant has the shard in its care.
SHARD_AUDITOR = Right(frozenset({Role.AUDITOR}), tenant=DEFAULT_TENANT)
# As has who mends store, ledger and log, which are one for all tenants.
SHARD_ADMIN = Right(frozenset({Role.ADMIN}), tenant=DEFAULT_TENANT)
LOG_READER = Right(frozenset({Role.AUDITOR}), tenant=DEFAULT_TENANT, openable=True)
CHECKER = Right(frozenset({Role.OPERATOR, Role.AUDITOR}))
ADMIN = Right(frozenset({Role.ADMIN}))
# A run does this in its agent's name. All roles, so that a key is asked for.
WITHIN = Right(frozenset(Role), within=True)

REST: Mapping[str, Right] = {
    "POST /api/process_log": OPERATOR,
    "POST /process_log": OPERATOR,
    "POST /api/runs": OPERATOR,
    "GET /api/runs": VIEWER,
    "GET /api/runs/{run_id}": VIEWER,
    "GET /api/approvals": VIEWER,
    "POST /api/approvals/{approval_id}": APPROVER,
    "GET /api/agents": VIEWER,
    "POST /api/agents": ADMIN,
    "GET /api/agents/{agent_id}": VIEWER,
    "POST /api/agents/{agent_id}/suspend": OPERATOR,
    "POST /api/agents/{agent_id}/resume": ADMIN,
    "POST /api/agents/{agent_id}/promote": ADMIN,
    "POST /api/agents/{agent_id}/demote": OPERATOR,
    "POST /api/agents/{agent_id}/revoke": OPERATOR,
    "GET /api/agents/{agent_id}/receipt": VIEWER,
    "GET /api/policy": VIEWER,
    "POST /api/policy": ADMIN,
    "GET /api/policy/versions": VIEWER,
    "POST /api/policy/validate": VIEWER,
    "POST /api/policy/diff": VIEWER,
    "POST /api/policy/rollback": ADMIN,
    "POST /api/policy/explain": VIEWER,
    "POST /api/policy/simulate": CHECKER,
    "GET /api/budgets": VIEWER,
    "POST /api/budgets": ADMIN,
    "GET /api/events": VIEWER,
    "GET /api/events/stream": VIEWER,
    "GET /api/events/ws": VIEWER,
    "GET /api/events/{event_id}": VIEWER,
    "GET /api/events/{event_id}/causes": VIEWER,
    "GET /api/effects/{effect_id}/causes": VIEWER,
    "GET /api/runs/{run_id}/replay": VIEWER,
    "GET /api/violations": VIEWER,
    "GET /api/promotions": VIEWER,
    "GET /api/approval_records": VIEWER,
    "GET /api/agent_actions": VIEWER,
    "GET /api/agent_metrics": VIEWER,
    "GET /api/tasks": VIEWER,
    "GET /api/tasks/{task_id}": VIEWER,
    "GET /api/tasks/{task_id}/board": VIEWER,
    "GET /api/tasks/{task_id}/messages": VIEWER,
    "POST /api/tasks/{task_id}/messages/acknowledge": OPERATOR,
    "GET /api/locks": VIEWER,
    "GET /api/stuck": VIEWER,
    "POST /api/agents/{agent_id}/lock/release": OPERATOR,
    "POST /api/erasures": ADMIN,
    "GET /api/erasures": AUDITOR,
    "GET /api/ledger/head": VIEWER,
    "POST /api/ledger/verify": CHECKER,
    "GET /tlog/checkpoint": LOG_READER,
    "GET /tlog/tile/entries/{place:path}": LOG_READER,
    "GET /tlog/tile/{level}/{place:path}": LOG_READER,
    "GET /api/health": PUBLIC,
    "GET /api/config": PUBLIC,
    "GET /api/docs": PUBLIC,
    "GET /api/metrics": PUBLIC,
    "GET /api/openapi.json": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /openapi_custom.json": PUBLIC,
    "GET /": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /docs/{asset}": PUBLIC,
}

GRPC: Mapping[str, Right] = {
    "/provost.gateway.v1.GatewayService/GetStatus": PUBLIC,
    "/provost.orchestrator.v1.OrchestratorService/ProcessLog": OPERATOR,
    "/provost.orchestrator.v1.OrchestratorService/StartRun": OPERATOR,
    "/provost.orchestrator.v1.OrchestratorService/GetRun": VIEWER,
    "/provost.orchestrator.v1.OrchestratorService/ListRuns": VIEWER,
    "/provost.orchestrator.v1.OrchestratorService/AttachAgent": BEARER,
    "/provost.policy.v1.PolicyService/RegisterAgent": ADMIN,
    "/provost.policy.v1.PolicyService/GetAgent": VIEWER,
    "/provost.policy.v1.PolicyService/ListAgents": VIEWER,
    "/provost.policy.v1.PolicyService/CreateSecret": ADMIN,
    "/provost.policy.v1.PolicyService/CreateSession": BEARER,
    "/provost.policy.v1.PolicyService/RevokeAgent": OPERATOR,
    "/provost.policy.v1.PolicyService/Authorize": OPERATOR,
    "/provost.policy.v1.PolicyService/BatchAuthorize": OPERATOR,
    "/provost.policy.v1.PolicyService/RequestApproval": WITHIN,
    "/provost.policy.v1.PolicyService/AnswerApproval": APPROVER,
    "/provost.policy.v1.PolicyService/GetApproval": VIEWER,
    "/provost.policy.v1.PolicyService/ListApprovals": VIEWER,
    "/provost.policy.v1.PolicyService/GetPolicySet": VIEWER,
    "/provost.policy.v1.PolicyService/PublishPolicySet": ADMIN,
    "/provost.policy.v1.PolicyService/ListSigningKeys": VIEWER,
    "/provost.policy.v1.PolicyService/UnwrapSecret": BEARER,
    "/provost.policy.v1.PolicyService/GetRevocationReceipt": VIEWER,
    "/provost.policy.v1.PolicyService/SuspendAgent": OPERATOR,
    "/provost.policy.v1.PolicyService/ResumeAgent": ADMIN,
    "/provost.policy.v1.PolicyService/PromoteAgent": ADMIN,
    "/provost.policy.v1.PolicyService/DemoteAgent": OPERATOR,
    "/provost.policy.v1.PolicyService/StreamAuthorize": OPERATOR,
    "/provost.policy.v1.PolicyService/Explain": VIEWER,
    "/provost.policy.v1.PolicyService/ListPolicySets": VIEWER,
    "/provost.policy.v1.PolicyService/GetPolicySetSchema": VIEWER,
    "/provost.policy.v1.PolicyService/ValidatePolicySet": VIEWER,
    "/provost.policy.v1.PolicyService/DiffPolicySets": VIEWER,
    "/provost.policy.v1.PolicyService/RollbackPolicySet": ADMIN,
    "/provost.policy.v1.PolicyService/SimulatePolicySet": CHECKER,
    "/provost.policy.v1.PolicyService/SetBudget": ADMIN,
    "/provost.policy.v1.PolicyService/ListBudgets": VIEWER,
    "/provost.policy.v1.PolicyService/ReserveBudget": OPERATOR,
    "/provost.policy.v1.PolicyService/SettleReservation": OPERATOR,
    "/provost.state.v1.StateService/IssuePacket": WITHIN,
    "/provost.state.v1.StateService/AcquireLock": WITHIN,
    "/provost.state.v1.StateService/Advance": WITHIN,
    "/provost.state.v1.StateService/ReleaseLock": WITHIN,
    "/provost.state.v1.StateService/Heartbeat": WITHIN,
    "/provost.state.v1.StateService/RecordError": WITHIN,
    "/provost.state.v1.StateService/GetAgentState": VIEWER,
    "/provost.state.v1.StateService/PutArtifact": WITHIN,
    "/provost.state.v1.StateService/GetArtifact": VIEWER,
    "/provost.state.v1.StateService/ListArtifacts": VIEWER,
    "/provost.state.v1.StateService/WriteHandoff": WITHIN,
    "/provost.state.v1.StateService/GetHandoff": VIEWER,
    "/provost.state.v1.StateService/ListRevocations": VIEWER,
    "/provost.state.v1.StateService/GetPacket": VIEWER,
    "/provost.state.v1.StateService/ListPackets": VIEWER,
    "/provost.state.v1.StateService/ForceReleaseLock": OPERATOR,
    "/provost.state.v1.StateService/ListLocks": VIEWER,
    "/provost.state.v1.StateService/ReportActivity": WITHIN,
    "/provost.state.v1.StateService/ListStuckAgents": VIEWER,
    "/provost.state.v1.StateService/PutEntry": OPERATOR,
    "/provost.state.v1.StateService/GetEntry": VIEWER,
    "/provost.state.v1.StateService/ListEntries": VIEWER,
    "/provost.state.v1.StateService/SendMessage": OPERATOR,
    "/provost.state.v1.StateService/ListMessages": VIEWER,
    "/provost.state.v1.StateService/AcknowledgeMessages": OPERATOR,
    "/provost.state.v1.StateService/SaveCheckpoint": WITHIN,
    "/provost.state.v1.StateService/GetCheckpoint": VIEWER,
    "/provost.state.v1.StateService/ListCheckpoints": VIEWER,
    "/provost.state.v1.StateService/GetTask": VIEWER,
    "/provost.state.v1.StateService/ListTasks": VIEWER,
    "/provost.state.v1.StateService/Watch": VIEWER,
    "/provost.state.v1.StateService/RebuildStore": SHARD_ADMIN,
    "/provost.state.v1.StateService/VerifyStore": SHARD_AUDITOR,
    "/provost.ledger.v1.LedgerService/ListEvents": VIEWER,
    "/provost.ledger.v1.LedgerService/GetEvent": VIEWER,
    "/provost.ledger.v1.LedgerService/ListAgentActions": VIEWER,
    "/provost.ledger.v1.LedgerService/ListAgentMetrics": VIEWER,
    "/provost.ledger.v1.LedgerService/ListViolations": VIEWER,
    "/provost.ledger.v1.LedgerService/ListPromotions": VIEWER,
    "/provost.ledger.v1.LedgerService/ListApprovalRecords": VIEWER,
    "/provost.ledger.v1.LedgerService/TraceCauses": VIEWER,
    "/provost.ledger.v1.LedgerService/ReplayRun": VIEWER,
    "/provost.ledger.v1.LedgerService/WatchEvents": VIEWER,
    "/provost.ledger.v1.LedgerService/GetTreeHead": VIEWER,
    "/provost.ledger.v1.LedgerService/GetInclusionProof": VIEWER,
    "/provost.ledger.v1.LedgerService/GetConsistencyProof": VIEWER,
    "/provost.ledger.v1.LedgerService/AwaitSequence": VIEWER,
    "/provost.ledger.v1.LedgerService/AwaitInclusion": VIEWER,
    "/provost.ledger.v1.LedgerService/GetTile": SHARD_AUDITOR,
    "/provost.ledger.v1.LedgerService/GetEntries": SHARD_AUDITOR,
    "/provost.ledger.v1.LedgerService/VerifyLedger": CHECKER,
    "/provost.ledger.v1.LedgerService/RebuildLedger": SHARD_ADMIN,
    "/provost.ledger.v1.LedgerService/ExportLedger": SHARD_AUDITOR,
    "/provost.ledger.v1.LedgerService/RepairLog": SHARD_ADMIN,
    "/provost.ledger.v1.LedgerService/EraseSubject": ADMIN,
    "/provost.ledger.v1.LedgerService/ListErasures": AUDITOR,
}
