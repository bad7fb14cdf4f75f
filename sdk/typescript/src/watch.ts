/** Streams that never end by themselves, whatever happens to the connection meanwhile. */

import { pauseFor } from "./connection.js";
import { ProvostError, errorOf } from "./errors.js";

/** A watch says something every ten seconds or so: one that has been quiet for so long is over. */
export const QUIET_MS = 45_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;

export interface WatchOptions {
  /** Where an earlier watch ended. */
  cursor?: string;
  /** Ends the watch, without an error. */
  signal?: AbortSignal;
  /** Hears why the connection was lost, each time. */
  interrupted?: (why: string) => void;
}

/**
 * Answers from `open(cursor)`, opened again behind the last one whenever the connection is lost, so that nothing is
 * missed and nothing told twice. `forgotten`: what is watched can be told whole, so a cursor too old begins anew.
 */
export async function* resumed<Answer extends { cursor: string }>(
  open: (cursor: string, signal: AbortSignal) => AsyncIterable<Answer>,
  { cursor = "", signal, interrupted }: WatchOptions,
  forgotten = false,
): AsyncGenerator<Answer> {
  let known = cursor !== "";
  for (let pause = FIRST_PAUSE_MS; !signal?.aborted; ) {
    let why = "the watch ended";
    let heard = false;
    const ending = new AbortController();
    const end = () => ending.abort();
    signal?.addEventListener("abort", end, { once: true });
    try {
      for await (const answer of neverQuiet(open(cursor, ending.signal), end)) {
        heard = known = true;
        yield answer;
        cursor = answer.cursor || cursor;
      }
    } catch (problem) {
      if (signal?.aborted) return;
      const error = errorOf(problem);
      const expired = forgotten && error.reason === "CURSOR_EXPIRED";
      const lost = known && (error.kind === "Unreachable" || error.kind === "LimitReached");
      if (!expired && !lost) throw error;
      if (expired) cursor = "";
      why = `${error.message} (${error.reason})`;
    } finally {
      signal?.removeEventListener("abort", end);
      end();
    }
    if (signal?.aborted) return;
    pause = heard ? FIRST_PAUSE_MS : Math.min(pause * 2, LONGEST_PAUSE_MS);
    interrupted?.(why);
    await pauseFor(pause, signal).catch(() => undefined);
  }
}

async function* neverQuiet<Answer>(answers: AsyncIterable<Answer>, end: () => void): AsyncGenerator<Answer> {
  let quiet = false;
  const tooQuiet = () => {
    quiet = true;
    end();
  };
  let timer = setTimeout(tooQuiet, QUIET_MS);
  try {
    for await (const answer of answers) {
      clearTimeout(timer);
      yield answer;
      timer = setTimeout(tooQuiet, QUIET_MS);
    }
  } catch (problem) {
    if (!quiet) throw problem;
    throw new ProvostError("Unreachable", "GATEWAY_UNREACHABLE", `nothing was heard for ${QUIET_MS / 1000} s`);
  } finally {
    clearTimeout(timer);
  }
}
