/** What can go wrong, as one exception with a reason to switch on: `google.rpc.ErrorInfo`, domain `provost`. */

import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** What a reason amounts to; the classes of the Python client have the same names. */
export type Kind =
  | "InvalidRequest" // the request cannot be understood
  | "NotAuthenticated" // no key, or an unknown one
  | "NotAllowed" // the key's role may not
  | "NotFound" // there is no such thing
  | "InConflict" // taken, or somebody was quicker
  | "NotNow" // not in this state
  | "LimitReached" // rate, size or budget
  | "Unreachable" // no answer; trying again may help
  | "Cancelled" // the caller's own signal
  | "Unexpected"; // a bug at one end

const KINDS: ReadonlyMap<Code, readonly [Kind, string]> = new Map([
  [Code.InvalidArgument, ["InvalidRequest", "MALFORMED_MESSAGE"]],
  [Code.Unauthenticated, ["NotAuthenticated", "KEY_UNKNOWN"]],
  [Code.PermissionDenied, ["NotAllowed", "ROLE_MISSING"]],
  [Code.NotFound, ["NotFound", "NOT_FOUND"]],
  [Code.AlreadyExists, ["InConflict", "ALREADY_EXISTS"]],
  [Code.Aborted, ["InConflict", "APPEND_CONFLICT"]],
  [Code.FailedPrecondition, ["NotNow", "FAILED_PRECONDITION"]],
  [Code.ResourceExhausted, ["LimitReached", "MESSAGE_TOO_LARGE"]],
  [Code.Unavailable, ["Unreachable", "GATEWAY_UNREACHABLE"]],
  [Code.DeadlineExceeded, ["Unreachable", "DEADLINE_EXCEEDED"]],
  [Code.Canceled, ["Cancelled", "CANCELLED"]],
]);

/**
 * `reason` is for programs, `message` for people, `facts` say more. `retryable`: the same request, with the same
 * request id, may be answered a little later.
 */
export class ProvostError extends Error {
  override readonly name = "ProvostError";
  readonly kind: Kind;
  readonly reason: string;
  readonly facts: Readonly<Record<string, string>>;

  constructor(kind: Kind, reason: string, text: string, facts: Record<string, string> = {}, cause?: unknown) {
    super(text, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.reason = reason;
    this.facts = facts;
  }

  get retryable(): boolean {
    return this.kind === "Unreachable" || this.reason === "APPEND_CONFLICT" || this.reason === "RATE_LIMITED";
  }
}

/** The error that a failed call amounts to. */
export function errorOf(problem: unknown): ProvostError {
  if (problem instanceof ProvostError) return problem;
  const failed = ConnectError.from(problem);
  const [kind, reason] = KINDS.get(failed.code) ?? (["Unexpected", "INTERNAL"] as const);
  const text = failed.rawMessage || `the call ended with ${Code[failed.code]}`;
  const info = failed.findDetails(ErrorInfoSchema).find((each) => each.domain === "provost");
  return info
    ? new ProvostError(kind, info.reason, text, info.metadata, failed)
    : new ProvostError(kind, reason, text, {}, failed);
}
