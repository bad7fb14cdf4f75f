/** A connection to the gateway's front: a deadline on every call, a few tries when nobody answers, telling errors. */

import { readFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  type Transport,
  createClient,
  makeAnyClient,
} from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import { ProvostError, errorOf } from "./errors.js";

const MAX_MESSAGE_BYTES = 34 * 1024 * 1024;
const TRIES = 4;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1000;
const STREAM_MS = 600_000;

/** How long calls may take that take longer than others. 0: a stream that ends when its reader has had enough. */
const PATIENCE_MS: Readonly<Record<string, number>> = {
  processLog: 300_000,
  awaitInclusion: 50_000,
  verifyLedger: STREAM_MS,
  repairLog: STREAM_MS,
  rebuildStore: STREAM_MS,
  verifyStore: STREAM_MS,
  publishPolicySet: STREAM_MS,
  rollbackPolicySet: STREAM_MS,
  exportLedger: 6 * 3_600_000,
  simulatePolicySet: 6 * 3_600_000,
  watchEvents: 0,
  watch: 0,
  attachAgent: 0,
  streamAuthorize: 0,
};

/** It waits by itself, and says UNAVAILABLE when the time is up. */
const TRIED_ONCE: ReadonlySet<string> = new Set(["awaitInclusion"]);

/** What Node and Bun call a certificate that they do not believe. */
const UNTRUSTED = /CERT|^UNABLE_TO_/;

export interface ConnectionOptions {
  /** `host:port`, or a URL with `http://` or `https://`; without one, encrypted exactly when a CA is given. */
  address?: string;
  /** The API key, if any. */
  key?: string;
  /** Whose credentials are shown where no key is: for agents of a tenant other than the default. */
  tenant?: string;
  /** A file (PEM) with the certificates to trust instead of the system's. */
  caFile?: string;
  /** For calls that have no longer one of their own; 0, as everywhere: none. */
  timeoutMs?: number;
}

export class Connection implements AsyncDisposable {
  readonly timeoutMs: number;
  readonly #transport: Transport;
  readonly #sessions: Http2SessionManager;
  readonly #headers: Record<string, string>;
  #closed = false;

  constructor(options: ConnectionOptions) {
    const address = options.address ?? "127.0.0.1:7000";
    const baseUrl = address.includes("://") ? address : `${options.caFile ? "https" : "http"}://${address}`;
    const tls = options.caFile ? { ca: readFileSync(options.caFile) } : {};
    this.timeoutMs = options.timeoutMs ?? 30_000;
    this.#headers = {};
    if (options.key) this.#headers["x-api-key"] = options.key;
    if (options.tenant) this.#headers["x-tenant"] = options.tenant;
    this.#sessions = new Http2SessionManager(baseUrl, {}, tls);
    this.#transport = createGrpcTransport({
      baseUrl,
      sessionManager: this.#sessions,
      readMaxBytes: MAX_MESSAGE_BYTES,
      writeMaxBytes: MAX_MESSAGE_BYTES,
    });
  }

  /**
   * Every method of a service, typed by its proto, as Connect's own clients have them. What changes something is given a
   * request id unless it has one, so that it is safe to send again; what finds nobody is sent again a few times.
   */
  calls<Service extends DescService>(service: Service): Client<Service> {
    const plain = createClient(service, this.#transport) as Record<string, (...given: unknown[]) => unknown>;
    return makeAnyClient(service, (method) => {
      const call = plain[method.localName]!;
      return method.methodKind === "unary"
        ? (request: object, options?: CallOptions) =>
            this.#insist(method, call, request, options)
        : (request: object, options?: CallOptions) =>
            this.#told(call(request, this.#options(method, options)) as AsyncIterable<unknown>, options?.signal);
    }) as Client<Service>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The deadline of a call that waits so long by itself: as long longer than that of others. */
  waitingMs(seconds: number): number {
    return this.timeoutMs > 0 ? this.timeoutMs + seconds * 1000 : 0;
  }

  close(): void {
    this.#closed = true;
    this.#sessions.abort();
  }

  async *#told(answers: AsyncIterable<unknown>, signal?: AbortSignal): AsyncGenerator<unknown> {
    try {
      yield* answers;
    } catch (problem) {
      throw this.#errorOf(problem, signal);
    }
  }

  /**
   * A connection that breaks looks cancelled or aborted to HTTP/2, one that is not trusted like an error inside: unless it
   * was ended here, nobody answers. What a service aborts has a reason of its own.
   */
  #errorOf(problem: unknown, signal?: AbortSignal): ProvostError {
    const error = errorOf(problem);
    const failed = error.cause;
    const bare = failed instanceof ConnectError && failed.details.length === 0;
    // By the system, or by TLS: their errors have codes.
    const refused = bare && failed.code === Code.Internal && failed.cause instanceof Error && "code" in failed.cause;
    const broken = bare && (refused || failed.code === Code.Canceled || failed.code === Code.Aborted);
    if (!broken || signal?.aborted || this.#closed) return error;
    const untrusted = refused && UNTRUSTED.test(String((failed.cause as NodeJS.ErrnoException).code));
    const text = untrusted
      ? `the gateway is not trusted (${error.message}): is caFile the authority that issued its certificate?`
      : error.message;
    return new ProvostError("Unreachable", "GATEWAY_UNREACHABLE", text, {}, problem);
  }

  async #insist(
    method: DescMethod,
    call: (...given: unknown[]) => unknown,
    request: object,
    options: CallOptions | undefined,
  ): Promise<unknown> {
    const sent =
      "requestId" in method.input.field && !("requestId" in request && request.requestId)
        ? { ...request, requestId: newRequestId() }
        : request;
    const given = this.#options(method, options);
    const end = given.timeoutMs > 0 ? performance.now() + given.timeoutMs : Infinity;
    for (let tried = 1, pause = FIRST_PAUSE_MS; ; tried++, pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const left = end === Infinity ? 0 : Math.max(1, Math.ceil(end - performance.now()));
        return await call(sent, { ...given, timeoutMs: left });
      } catch (problem) {
        const error = this.#errorOf(problem, given.signal);
        const over = tried === TRIES || TRIED_ONCE.has(method.localName) || performance.now() + pause >= end;
        if (error.kind !== "Unreachable" || error.reason === "DEADLINE_EXCEEDED" || over) throw error;
        await pauseFor(pause * (0.8 + 0.4 * Math.random()), given.signal);
      }
    }
  }

  #options(method: DescMethod, options: CallOptions = {}): CallOptions & { timeoutMs: number } {
    const headers = new Headers(options.headers);
    for (const [name, value] of Object.entries(this.#headers)) headers.set(name, value);
    const patience = method.methodKind === "unary" ? this.timeoutMs : STREAM_MS;
    const timeoutMs = options.timeoutMs ?? PATIENCE_MS[method.localName] ?? patience;
    return { ...options, headers, timeoutMs };
  }
}

/** An id under which a request has one effect, however often it is sent. */
export function newRequestId(): string {
  return randomUUID().replaceAll("-", "");
}

/** Waits, unless `signal` has enough of it. */
export function pauseFor(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = () => {
      clearTimeout(timer);
      reject(new ProvostError("Cancelled", "CANCELLED", "the caller's signal was given"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", ended);
      resolve();
    }, ms);
    if (signal?.aborted) ended();
    else signal?.addEventListener("abort", ended, { once: true });
  });
}
