/**
 * Whether an event is in a tree, and whether a tree grew out of another: RFC 6962, section 2.1, from its definitions.
 * Needs no service; held to the vectors that the ledger and the Python client are held to.
 */

import { createHash } from "node:crypto";
import type { GetInclusionProofResponse } from "./gen/provost/ledger/v1/ledger_pb.js";
import { type Checkpoint, type Key, NotProved, fromBase64, openCheckpoint, readHash, readNumber } from "./note.js";

const MAX_LEAF_BYTES = 65_535;
const MAX_HASHES = 63;
const FIRST_LINE = "c2sp.org/tlog-proof@v1";
const EMPTY = sha256();

/** An event that a proof has shown to be in the log. `payload` is missing when the proof holds only its hash. */
export interface ProvedEvent {
  readonly index: bigint;
  readonly head: Checkpoint;
  readonly subject: string;
  readonly header: Uint8Array;
  readonly payload?: Uint8Array;
  readonly payloadSha256: Uint8Array;
}

/** What the ledger's answer proves about an event, for who trusts `keys`. Throws NotProved. */
export function checkInclusionAnswer(answer: GetInclusionProofResponse, keys: readonly Key[]): ProvedEvent {
  const head = openCheckpoint(answer.treeHead?.checkpoint ?? "", keys);
  const payloadSha256 = sha256(answer.payload);
  const leaf = hashLeaf(leafOf(answer.subject, answer.headerBlock, payloadSha256));
  checkInclusion(leaf, answer.leafIndex, answer.path, head);
  return {
    index: answer.leafIndex,
    head,
    subject: answer.subject,
    header: answer.headerBlock,
    payload: answer.payload,
    payloadSha256,
  };
}

/** What a proof as a file (C2SP tlog-proof, as `provost ledger prove` writes it) proves. Throws NotProved. */
export function checkEventProof(text: string, keys: readonly Key[]): ProvedEvent {
  const at = text.indexOf("\n\n");
  if (at < 0) throw new NotProved("not a proof: no checkpoint behind an empty line");
  const lines = text.slice(0, at).split("\n");
  if (lines[0] !== FIRST_LINE) throw new NotProved(`not a proof: its first line is not ${FIRST_LINE}`);
  if (!lines[1]?.startsWith("extra ") || !lines[2]?.startsWith("index "))
    throw new NotProved("the proof's second and third line are not 'extra …' and 'index …'");
  const made = madeOf(lines[1].slice(6));
  const index = readNumber(lines[2].slice(6), "the index");
  if (lines.length - 3 > MAX_HASHES) throw new NotProved("the proof has more hashes than any tree is high");
  const path = lines.slice(3).map((line) => readHash(line, "a hash of the proof"));
  const head = openCheckpoint(text.slice(at + 2), keys);
  checkInclusion(hashLeaf(leafOf(made.subject, made.header, made.payloadSha256)), index, path, head);
  return { index, head, ...made };
}

/** That the leaf with hash `leaf` stands at `index` of the tree `head`. Throws NotProved. */
export function checkInclusion(leaf: Uint8Array, index: bigint, path: readonly Uint8Array[], head: Checkpoint): void {
  if (index < 0n || index >= head.size) throw new NotProved(`leaf ${index} is not in a tree of ${head.size}`);
  lengths(path);
  if (!same(rootOf(leaf, index, head.size, path), head.root))
    throw new NotProved("the proof leads to another root than the one that is signed");
}

/** That the tree `later` begins with all of the tree `earlier`. Throws NotProved. */
export function checkConsistency(earlier: Checkpoint, later: Checkpoint, path: readonly Uint8Array[]): void {
  if (earlier.origin !== later.origin)
    throw new NotProved(`the heads are of two logs: ${earlier.origin} and ${later.origin}`);
  if (earlier.size > later.size)
    throw new NotProved(`the later head has ${later.size} leaves, the earlier one ${earlier.size}`);
  if (earlier.size < 0n) throw new NotProved(`no tree has ${earlier.size} leaves`);
  lengths(path);
  if (earlier.size === 0n && path.length > 0) throw new NotProved("an empty tree needs no proof, and there is one");
  const [old, grown] =
    earlier.size === 0n
      ? [EMPTY, later.size === 0n ? EMPTY : later.root]
      : rootsOf(earlier.size, later.size, path, earlier.root);
  if (!same(old, earlier.root)) throw new NotProved("the proof leads to another root than that of the earlier head");
  if (!same(grown, later.root)) throw new NotProved("the proof leads to another root than that of the later head");
}

/** The hash of a leaf's bytes. */
export function hashLeaf(data: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(0), data);
}

/**
 * What the tree commits to of a message: `provost leaf v1`, the subject, the header lines sorted, an empty line, each
 * ended by CRLF, then the payload's hash; a header block that is none, or too long, stands there as its hash.
 */
export function leafOf(subject: string | Uint8Array, header: Uint8Array, payloadSha256: Uint8Array): Uint8Array {
  const named = Buffer.from(typeof subject === "string" ? new TextEncoder().encode(subject) : subject);
  if (named.includes("\r\n"))
    throw new NotProved("the subject holds a line break: headers would be hidden in it");
  const block = Buffer.from(header).toString("latin1"); // a character for a byte: they are only moved
  const isBlock = block.startsWith("NATS/1.0\r\n") && block.endsWith("\r\n\r\n");
  if (block === "" || isBlock) {
    const lines = block.slice("NATS/1.0".length, -2).split("\r\n").slice(1, -1).sort(byBytes);
    const text = lines.map((line) => `${line}\r\n`).join("");
    const leaf = Buffer.concat([
      Buffer.from("provost leaf v1\r\n"),
      named,
      Buffer.from(`\r\n${text}\r\n`, "latin1"),
      payloadSha256,
    ]);
    if (leaf.length <= MAX_LEAF_BYTES) return leaf;
  }
  const opaque = Buffer.from("provost leaf v1 opaque\r\n");
  return Buffer.concat([opaque, named, Buffer.from("\r\n"), sha256(header), payloadSha256]);
}

/** What `PATH(index, D[size])` says the root is, when it is `path`: section 2.1.1. */
function rootOf(leaf: Uint8Array, index: bigint, size: bigint, path: readonly Uint8Array[]): Uint8Array {
  if (size === 1n) {
    if (path.length > 0) throw new NotProved("the proof has too many hashes");
    return leaf;
  }
  const last = path.at(-1);
  if (last === undefined) throw new NotProved("the proof has too few hashes");
  const rest = path.slice(0, -1);
  const k = split(size);
  return index < k
    ? hashNode(rootOf(leaf, index, k, rest), last)
    : hashNode(last, rootOf(leaf, index - k, size - k, rest));
}

/** What `SUBPROOF(old, D[size], known)` says both roots are, when it is `path`: section 2.1.2. */
function rootsOf(
  old: bigint,
  size: bigint,
  path: readonly Uint8Array[],
  known?: Uint8Array,
): [Uint8Array, Uint8Array] {
  const last = path.at(-1);
  if (old === size) {
    if (path.length !== (known ? 0 : 1)) throw new NotProved("the proof has too many or too few hashes");
    const both = (known ?? last)!;
    return [both, both];
  }
  if (last === undefined) throw new NotProved("the proof has too few hashes");
  const rest = path.slice(0, -1);
  const k = split(size);
  if (old <= k) {
    const [left, grown] = rootsOf(old, k, rest, known);
    return [left, hashNode(grown, last)];
  }
  const [left, grown] = rootsOf(old - k, size - k, rest);
  return [hashNode(last, left), hashNode(last, grown)];
}

/** The largest power of two below `size`, which is at least 2. */
function split(size: bigint): bigint {
  return 1n << BigInt((size - 1n).toString(2).length - 1);
}

function madeOf(encoded: string): Omit<ProvedEvent, "index" | "head"> {
  const wrong = "the proof's extra data is no JSON object with subject, header and payload or payload_sha256";
  let given: Record<string, unknown>;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(fromBase64(encoded, "the proof's extra data"));
    given = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new NotProved(wrong);
  }
  const { subject, header, payload, payload_sha256: hash } = given ?? {};
  if (typeof subject !== "string" || /\p{Surrogate}/u.test(subject) || typeof header !== "string") throw new NotProved(wrong);
  const made = { subject, header: fromBase64(header, "the header block") };
  if (typeof payload === "string") {
    const raw = fromBase64(payload, "the payload");
    return { ...made, payload: raw, payloadSha256: sha256(raw) };
  }
  if (typeof hash !== "string") throw new NotProved(wrong);
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new NotProved("the payload's hash is not 64 hex digits");
  return { ...made, payloadSha256: Buffer.from(hash, "hex") };
}

function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(1), left, right);
}

function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

function byBytes(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function lengths(path: readonly Uint8Array[]): void {
  if (path.some((each) => each.length !== 32)) throw new NotProved("the proof holds something that is no hash");
}
