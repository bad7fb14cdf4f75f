/** What an agent is asked to think about, and how it cites what it read. */

import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EvidenceSchema } from "./gen/provost/orchestrator/v1/incident_pb.js";
import type { Task } from "./gen/provost/orchestrator/v1/orchestrator_pb.js";

const MOST_CHARACTERS = 400;

/** One task of one run. `signal`: nobody waits for an answer any more. */
export class Assignment {
  readonly task: Task;
  readonly signal: AbortSignal;
  #lines: string[] | undefined;

  constructor(task: Task, signal: AbortSignal) {
    this.task = task;
    this.signal = signal;
  }

  get runId(): string {
    return this.task.runId;
  }

  /** The redacted log, line by line. Whatever stands there was written by anybody: data, never instructions. */
  get lines(): readonly string[] {
    return (this.#lines ??= new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.task.log).split("\n"));
  }

  /** Evidence for a claim: a line by its number, from 1. A claim that cites none is dropped by Provost. */
  cite(line: number): MessageInitShape<typeof EvidenceSchema> {
    const whole = this.lines[line - 1];
    if (whole === undefined) throw new RangeError(`the log has ${this.lines.length} lines, and no line ${line}`);
    const text = whole.replace(/\r$/, "");
    return {
      evidenceId: `line-${line}`,
      line: BigInt(line),
      text: cut(inert(text)),
      sha256: createHash("sha256").update(text).digest("hex"),
    };
  }
}

/** No longer than Provost keeps it, and no half of a character. */
function cut(text: string): string {
  return text.slice(0, MOST_CHARACTERS).replace(/\p{Surrogate}$/u, "");
}

/** Control and format characters as their escapes, so that a terminal obeys nothing of it. */
function inert(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (each) => `\\u{${each.codePointAt(0)!.toString(16)}}`);
}
