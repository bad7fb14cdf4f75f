/**
 * A governed agent: logs in, attaches to the orchestrator's stream, thinks about what it is given, and beats.
 *
 * It proposes and never acts: Provost takes each of its runs from BOOTSTRAP to EXIT, asks policy, has actuators do what is
 * permitted, and can take all of the agent's power away at any time.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Assignment } from "./assignment.js";
import { Connection, type ConnectionOptions, newRequestId, pauseFor } from "./connection.js";
import { ProvostError, errorOf } from "./errors.js";
import {
  type AttachAgentRequestSchema,
  OrchestratorService,
  type ProposalSchema,
  type Task,
} from "./gen/provost/orchestrator/v1/orchestrator_pb.js";
import { PolicyService } from "./gen/provost/policy/v1/policy_pb.js";
import { Outbox } from "./outbox.js";

export { Assignment } from "./assignment.js";

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
const FRESH_SHARE = 0.8;
const CLOSING_MS = 2000;

/** Nothing that comes with time: the agent stops, and says why. */
const FINAL: ReadonlySet<string> = new Set([
  "AGENT_REVOKED",
  "AGENT_ALREADY_REVOKED",
  "AGENT_PREVIOUSLY_REVOKED",
  "CREDENTIALS_REFUSED",
  "WRAPPING_TOKEN_INVALID",
  "TENANT_MISMATCH",
]);
/** The session is no good any more, the credentials may be. */
const STALE: ReadonlySet<string> = new Set(["TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_MISSING"]);

/** Role and secret as `CreateSecret` gave them, or the wrapping token that stands for them, once. */
export type Credentials = { roleId: string; secretId: string } | { wrappingToken: string };
export type Proposal = Omit<MessageInitShape<typeof ProposalSchema>, "runId" | "$typeName">;
/** What happens to an agent, for whoever would like to know. */
export type Happening =
  | { what: "attached"; agentId: string }
  | { what: "beat" | "renewed" }
  | { what: "task" | "proposed"; runId: string }
  | { what: "failed"; runId: string; problem: unknown }
  | { what: "detached"; why: ProvostError };

export interface AgentOptions extends ConnectionOptions {
  credentials: Credentials;
  /** Of the agent itself: it is kept with what it does. */
  version: string;
  /** What is wrong, by which lines, and what to do about it. What it throws is counted as the agent's error. */
  think: (assignment: Assignment) => Proposal | Promise<Proposal>;
  told?: (happening: Happening) => void;
  /** How long `stop` waits for what is being thought about. */
  graceMs?: number;
}

interface Session {
  token: string;
  renewAt: number;
}
type Said = MessageInitShape<typeof AttachAgentRequestSchema>;

export class Agent implements AsyncDisposable {
  readonly #options: AgentOptions;
  readonly #connection: Connection;
  readonly #stopping = new AbortController();
  readonly #thinking = new Set<Promise<void>>();
  #credentials: Credentials;
  #session: Session | undefined;
  #outbox: Outbox<Said> | undefined;
  #ended: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#credentials = options.credentials;
    this.#connection = new Connection(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /**
   * At work until `stop`; attaches again whenever the stream ends. Throws `ProvostError` when it was revoked (reason
   * AGENT_REVOKED), or is not let in and never will be.
   */
  run(): Promise<void> {
    return (this.#ended ??= this.#work().finally(() => this.#connection.close()));
  }

  /** Finishes what it is at, takes nothing new, and ends the stream. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const grace = new AbortController();
    const over = pauseFor(this.#options.graceMs ?? 10_000, grace.signal).catch(() => undefined);
    await Promise.race([Promise.allSettled([...this.#thinking]), over]);
    grace.abort();
    this.#outbox?.end();
    await this.#ended?.catch(() => undefined); // why it ended is told to whoever called run
  }

  async #work(): Promise<void> {
    const stopping = this.#stopping.signal;
    for (let pause = FIRST_PAUSE_MS; !stopping.aborted; ) {
      try {
        await this.#attached(await this.#fresh(), () => (pause = FIRST_PAUSE_MS));
      } catch (problem) {
        const why = errorOf(problem);
        if (stopping.aborted) return;
        this.#tell({ what: "detached", why });
        if (FINAL.has(why.reason) || why.kind === "InvalidRequest") throw why;
        if (STALE.has(why.reason)) this.#session = undefined;
      }
      await pauseFor(pause * (0.8 + 0.4 * Math.random()), stopping).catch(() => undefined);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  /** A session that lasts: the one there is, or a new one. */
  async #fresh(): Promise<Session> {
    if (this.#session && Date.now() < this.#session.renewAt) return this.#session;
    const policy = this.#connection.calls(PolicyService);
    if ("wrappingToken" in this.#credentials) {
      // It is good for one secret, once: a request that is sent again must be the same.
      const requestId = newRequestId();
      const { roleId, secretId } = await policy.unwrapSecret({ requestId, ...this.#credentials });
      this.#credentials = { roleId, secretId };
    }
    const opened = await policy.createSession(this.#credentials);
    const now = Date.now();
    const ends = opened.expireTime ? timestampMs(opened.expireTime) : now;
    return (this.#session = { token: opened.sessionToken, renewAt: now + (ends - now) * FRESH_SHARE });
  }

  async #attached(session: Session, welcomed: () => void): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const outbox: Outbox<Said> = new Outbox();
    const over = new AbortController();
    let beating: NodeJS.Timeout | undefined;
    let closing: NodeJS.Timeout | undefined;
    const stopped = () => (closing = setTimeout(() => over.abort(), (this.#options.graceMs ?? 10_000) + CLOSING_MS));
    this.#stopping.signal.addEventListener("abort", stopped, { once: true });
    this.#outbox = outbox;
    outbox.put(this.#hello(session));
    try {
      const orchestrator = this.#connection.calls(OrchestratorService);
      for await (const { message } of orchestrator.attachAgent(outbox, { signal: over.signal })) {
        if (message.case === "welcome") {
          welcomed();
          const { agentId, heartbeatSeconds } = message.value;
          this.#tell({ what: "attached", agentId });
          beating = setInterval(() => void this.#beat(outbox), Math.max(1, heartbeatSeconds) * 1000);
        } else if (message.case === "task" && !this.#stopping.signal.aborted) {
          this.#take(message.value, outbox, over.signal);
        }
      }
    } finally {
      clearInterval(beating);
      clearTimeout(closing);
      this.#stopping.signal.removeEventListener("abort", stopped);
      outbox.end();
      over.abort();
    }
  }

  /** Says that it lives, and renews the session before it ends. */
  async #beat(outbox: Outbox<Said>): Promise<void> {
    const before = this.#session;
    try {
      const session = await this.#fresh();
      if (session !== before) {
        outbox.put(this.#hello(session));
        this.#tell({ what: "renewed" });
      }
    } catch {
      // It is tried again with the next beat; once the session is over, the stream ends and says why.
    }
    outbox.put({ message: { case: "beat", value: {} } });
    this.#tell({ what: "beat" });
  }

  #take(task: Task, outbox: Outbox<Said>, signal: AbortSignal): void {
    const thought = this.#answer(task, outbox, signal).finally(() => this.#thinking.delete(thought));
    this.#thinking.add(thought);
  }

  async #answer(task: Task, outbox: Outbox<Said>, signal: AbortSignal): Promise<void> {
    const { runId } = task;
    this.#tell({ what: "task", runId });
    try {
      const proposal = await this.#options.think(new Assignment(task, signal));
      outbox.put({ message: { case: "proposal", value: { ...proposal, runId } } });
      this.#tell({ what: "proposed", runId });
    } catch (problem) {
      // The text stays here: it may quote the log, or a secret.
      const errorType = problem instanceof Error ? problem.name : "Error";
      const message = "the analysis failed; the agent's own log says why";
      outbox.put({ message: { case: "failure", value: { runId, errorType, message } } });
      this.#tell({ what: "failed", runId, problem });
    }
  }

  #hello(session: Session): Said {
    return { message: { case: "hello", value: { sessionToken: session.token, agentVersion: this.#options.version } } };
  }

  #tell(happening: Happening): void {
    this.#options.told?.(happening);
  }
}
