/**
 * The client: every call of the gRPC front, typed by the protos, and by name what is asked for most.
 *
 *     await using provost = new Provost({ address: "127.0.0.1:7000", key });
 *     const run = await provost.processLog(log);
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import { Connection, type ConnectionOptions } from "./connection.js";
import { ProvostError } from "./errors.js";
import { GatewayService, type GetStatusResponse } from "./gen/provost/gateway/v1/gateway_pb.js";
import {
  type EventFilterSchema,
  type GetInclusionProofResponse,
  type GetTreeHeadResponse,
  LedgerService,
  type WatchEventsResponse,
} from "./gen/provost/ledger/v1/ledger_pb.js";
import { OrchestratorService, type Run, RunState, Strategy } from "./gen/provost/orchestrator/v1/orchestrator_pb.js";
import {
  type ActionSchema,
  type Approval,
  type AuthorizeResponse,
  Mode,
  PolicyService,
} from "./gen/provost/policy/v1/policy_pb.js";
import { StateService, type WatchResponse } from "./gen/provost/state/v1/state_pb.js";
import { type WatchOptions, resumed } from "./watch.js";

const MODES = { safe: Mode.SAFE, assisted: Mode.ASSISTED, auto: Mode.AUTO } as const;
const STRATEGIES = { "": Strategy.UNSPECIFIED, classic: Strategy.CLASSIC, reflective: Strategy.REFLECTIVE } as const;
const WAIT_SECONDS = 20;

export type ModeName = keyof typeof MODES;

export interface ProcessLogOptions {
  /** `safe` unless told otherwise: plan and dry run only. */
  mode?: ModeName;
  strategy?: keyof typeof STRATEGIES;
  includeTrace?: boolean;
  /** One of the built-in crew that is free, unless named. */
  agentId?: string;
  /** Actions it must not try, whatever policy says. */
  forbidden?: string[];
  /** Whose data the log is: under this name it can be erased. */
  subject?: string;
  requestId?: string;
}

export interface AuthorizeOptions {
  agentId: string;
  taskId: string;
  runId: string;
  action: MessageInitShape<typeof ActionSchema>;
  mode?: ModeName;
  /** The agent's own session: nobody else speaks for it. */
  sessionToken: string;
  /** The approval that a person has given for exactly this action. */
  approvalId?: string;
  requestId?: string;
}

/** Every method throws `ProvostError`, and takes Connect's `CallOptions`: `timeoutMs`, `signal`. */
export class Provost implements AsyncDisposable {
  readonly gateway: Client<typeof GatewayService>;
  readonly orchestrator: Client<typeof OrchestratorService>;
  readonly policy: Client<typeof PolicyService>;
  readonly state: Client<typeof StateService>;
  readonly ledger: Client<typeof LedgerService>;
  readonly #connection: Connection;

  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
    this.gateway = this.#connection.calls(GatewayService);
    this.orchestrator = this.#connection.calls(OrchestratorService);
    this.policy = this.#connection.calls(PolicyService);
    this.state = this.#connection.calls(StateService);
    this.ledger = this.#connection.calls(LedgerService);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Ends the connection, and every call on it. */
  close(): void {
    this.#connection.close();
  }

  /** What is healthy, what lags and by how much; needs no key. */
  status(options?: CallOptions): Promise<GetStatusResponse> {
    return this.gateway.getStatus({}, options);
  }

  /** Takes a log through a governed run; answers when it has ended or waits for a person, or after four minutes. */
  async processLog(log: string | Uint8Array, given: ProcessLogOptions = {}, options?: CallOptions): Promise<Run> {
    const { mode = "safe", strategy = "", includeTrace = true, ...more } = given;
    const answer = await this.orchestrator.processLog(
      {
        ...more,
        log: typeof log === "string" ? new TextEncoder().encode(log) : log,
        mode: MODES[mode],
        strategy: STRATEGIES[strategy],
        includeTrace,
      },
      options,
    );
    return answer.run!;
  }

  /** Starts a run without a log; answers at once. */
  async startRun(
    given: { agentId: string; taskId: string; objective: string; mode?: ModeName; subject?: string; requestId?: string },
    options?: CallOptions,
  ): Promise<Run> {
    return (await this.orchestrator.startRun({ ...given, mode: MODES[given.mode ?? "safe"] }, options)).run!;
  }

  async getRun(runId: string, options?: CallOptions): Promise<Run> {
    return (await this.orchestrator.getRun({ runId }, options)).run!;
  }

  /** A run as it goes on, each time it may have changed, until it has ended or waits for a person. */
  async *followRun(runId: string, options: CallOptions = {}): AsyncGenerator<Run> {
    for (let run = await this.getRun(runId, options); ; ) {
      yield run;
      if (run.state !== RunState.RUNNING) return;
      const timeoutMs = this.#connection.waitingMs(WAIT_SECONDS);
      run = (await this.orchestrator.getRun({ runId, waitSeconds: WAIT_SECONDS }, { timeoutMs, ...options })).run!;
    }
  }

  /** May this agent do this? ALLOW, DENY or NEEDS_APPROVAL: a denial is an answer, not an error. */
  authorize(given: AuthorizeOptions, options?: CallOptions): Promise<AuthorizeResponse> {
    const { runId, taskId, agentId, mode = "auto", action, ...more } = given;
    const context = { runId, taskId, agentId, mode: MODES[mode] };
    return this.policy.authorize({ ...more, context, action: { actionId: "a1", ...action } }, options);
  }

  /** Trades an agent's role and secret for its session token. */
  openSession(roleId: string, secretId: string, options?: CallOptions) {
    return this.policy.createSession({ roleId, secretId }, options);
  }

  /** Requests that wait for a person, newest first. */
  async listApprovals(runId = "", options?: CallOptions): Promise<Approval[]> {
    const found: Approval[] = [];
    for (let pageToken = ""; ; ) {
      const page = await this.policy.listApprovals({ runId, pageToken }, options);
      found.push(...page.approvals);
      pageToken = page.nextPageToken;
      if (!pageToken) return found;
    }
  }

  /** Approves or rejects one exact action; needs an approver's key, and not that of who asked. */
  async answerApproval(
    approvalId: string,
    given: { approve: boolean; comment?: string; requestId?: string },
    options?: CallOptions,
  ): Promise<Approval> {
    return (await this.policy.answerApproval({ approvalId, ...given }, options)).approval!;
  }

  /**
   * Events as they come, from now on, from the first or behind a cursor. Never ends by itself, and goes on behind what it
   * has told after a disconnect. Answers without events are signs of life.
   */
  watchEvents(
    filter: MessageInitShape<typeof EventFilterSchema> = {},
    options: WatchOptions & { fromStart?: boolean } = {},
  ): AsyncGenerator<WatchEventsResponse> {
    const { fromStart = false } = options;
    return resumed(
      (cursor, signal) => this.ledger.watchEvents({ filter, cursor, fromStart: fromStart && !cursor }, { signal }),
      options,
    );
  }

  /**
   * What is there, then every change, of a task, of an agent or of all. As `watchEvents` after a disconnect; where more has
   * changed meanwhile than is kept, it begins anew with what is there.
   */
  watchState(
    given: { taskId?: string; agentId?: string } = {},
    options: WatchOptions = {},
  ): AsyncGenerator<WatchResponse> {
    return resumed((cursor, signal) => this.state.watch({ ...given, cursor }, { signal }), options, true);
  }

  /** The newest signed tree head, and the keys that verify it: compare them with those you were given otherwise. */
  treeHead(options?: CallOptions): Promise<GetTreeHeadResponse> {
    return this.ledger.getTreeHead({}, options);
  }

  /** Proof that an event is in the log, once a signed head covers it; check it with `checkInclusionAnswer`. */
  async proveEvent(eventId: string, options: CallOptions = {}): Promise<GetInclusionProofResponse> {
    const { timeoutMs = WAIT_SECONDS * 1000 } = options;
    const end = timeoutMs > 0 ? performance.now() + timeoutMs : Infinity;
    for (;;) {
      const left = Math.max(0, Math.min(WAIT_SECONDS, Math.round((end - performance.now()) / 1000)));
      try {
        const given = { ...options, timeoutMs: this.#connection.waitingMs(left) };
        return (await this.ledger.awaitInclusion({ eventId, timeoutSeconds: left }, given)).proof!;
      } catch (problem) {
        const behind = problem instanceof ProvostError && problem.reason === "LEDGER_BEHIND";
        if (!behind || performance.now() + 500 >= end) throw problem;
      }
    }
  }
}
