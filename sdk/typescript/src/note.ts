/**
 * Signed notes and checkpoints, read and verified with a public key alone: C2SP signed-note, tlog-checkpoint, Ed25519.
 * Needs no service.
 */

import { createHash, createPublicKey, verify } from "node:crypto";

const MAX_NOTE_CHARACTERS = 1_000_000;
const MAX_SIGNATURES = 100;
const MAX_TREE_SIZE = 2n ** 63n - 1n;
const ED25519 = 1;
/** RFC 8410: what stands before the 32 bytes of a public key in its DER form. */
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

/** What was given proves nothing; the message says what is wrong with it. */
export class NotProved extends Error {
  override readonly name = "NotProved";
}

/** Whose signature is asked for: the name and public key of a log, and the id that its signatures bear. */
export interface Key {
  readonly name: string;
  readonly id: string;
  readonly publicKey: Uint8Array;
}

/** A tree head that its log has signed. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** The key in a verifier key, `<name>+<8 hex digits>+<base64>`. Throws NotProved. */
export function readKey(text: string): Key {
  const [name, shown, ...rest] = text.trim().split("+");
  if (!name || !isName(name) || shown === undefined || rest.length === 0)
    throw new NotProved("not a verifier key: it is written <name>+<8 hex digits>+<base64>");
  const material = fromBase64(rest.join("+"), "the verifier key");
  if (material[0] !== ED25519 || material.length !== 33) throw new NotProved("not a verifier key of Ed25519");
  const id = createHash("sha256").update(`${name}\n`).update(material).digest("hex").slice(0, 8);
  if (shown !== id) throw new NotProved("the verifier key is damaged: its id belongs to another name or key");
  return { name, id, publicKey: material.subarray(1) };
}

/** The text that one of `keys` at least has signed, its last newline included, and which of them have. Throws NotProved. */
export function openNote(note: string, keys: readonly Key[]): { text: string; signers: Key[] } {
  if (note.length > MAX_NOTE_CHARACTERS) throw new NotProved("the note is too long");
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x09\x0b-\x1f]/.test(note)) throw new NotProved("the note holds control characters");
  const at = note.lastIndexOf("\n\n");
  if (at < 0 || !note.endsWith("\n") || note.length === at + 2)
    throw new NotProved("not a signed note: no signatures behind an empty line");
  const text = note.slice(0, at + 1);
  const lines = note.slice(at + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw new NotProved("the note bears too many signatures");
  const signatures = lines.map(signatureIn);
  const ours = keys.flatMap((key) =>
    signatures.filter((each) => each.name === key.name && each.id === key.id).map((each) => ({ key, ...each })),
  );
  if (ours.length === 0) {
    const asked = keys.map((key) => `${key.name}+${key.id}`).join(", ");
    const named = [...new Set(signatures.map((each) => each.name))].sort().join(", ");
    throw new NotProved(`not signed with the key ${asked}; it names ${named}`);
  }
  for (const { key, signature } of ours) {
    if (!verifies(key.publicKey, text, signature))
      throw new NotProved(`the signature in the name of ${key.name} does not verify`);
  }
  return { text, signers: [...new Set(ours.map((each) => each.key))] };
}

/** The tree head in a checkpoint that one of `keys` has signed for the log it is named after. Throws NotProved. */
export function openCheckpoint(note: string, keys: readonly Key[]): Checkpoint {
  const { text, signers } = openNote(note, keys);
  const lines = text.slice(0, -1).split("\n");
  const [origin, size, root] = lines;
  if (origin === undefined || size === undefined || root === undefined || lines.includes(""))
    throw new NotProved("what is signed is no checkpoint: three lines at least, none of them empty");
  if (!signers.some((each) => each.name === origin))
    throw new NotProved(`it is the checkpoint of ${origin}, not of ${signers[0]!.name}`);
  return { origin, size: readNumber(size, "the tree size"), root: readHash(root, "the root") };
}

/** A decimal number in its one spelling, at most 2^63 - 1. Throws NotProved, naming `what`. */
export function readNumber(text: string, what: string): bigint {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw new NotProved(`${what} is no plain decimal number`);
  const number = BigInt(text);
  if (number > MAX_TREE_SIZE) throw new NotProved(`${what} is too large`);
  return number;
}

/** A SHA-256 hash in base64. Throws NotProved, naming `what`. */
export function readHash(text: string, what: string): Uint8Array {
  const raw = fromBase64(text, what);
  if (raw.length !== 32) throw new NotProved(`${what} is not 32 bytes`);
  return raw;
}

/** Bytes in their one spelling (RFC 4648, section 4). Throws NotProved, naming `what`. */
export function fromBase64(text: string, what: string): Uint8Array {
  const raw = Buffer.from(text, "base64"); // takes anything: what it made of it is compared
  if (raw.toString("base64") !== text) throw new NotProved(`${what} is not base64 in its one spelling`);
  return raw;
}

function signatureIn(line: string): { name: string; id: string; signature: Uint8Array } {
  const [dash, name, encoded, ...rest] = line.split(" ");
  if (dash !== "\u2014" || !name || !isName(name) || encoded === undefined || rest.length > 0)
    throw new NotProved("a signature line of the note is not an em dash, a name and base64");
  const raw = fromBase64(encoded, "a signature");
  if (raw.length < 5) throw new NotProved("a signature line of the note holds no signature");
  return { name, id: Buffer.from(raw.subarray(0, 4)).toString("hex"), signature: raw.subarray(4) };
}

function isName(name: string): boolean {
  return !/[\s+]/.test(name);
}

function verifies(publicKey: Uint8Array, text: string, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: "der", type: "spki" });
  return verify(null, Buffer.from(text), key, signature);
}
