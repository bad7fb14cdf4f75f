/** The verifier, held to tests/vectors/ledger.json. Throws what does not come out as it should. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { NotProved, checkConsistency, checkInclusion, hashLeaf, leafOf, openNote, readKey } from "../src/index.js";

interface Vectors {
  leaves: { subject: string; header: string; payload: string; data: string; hash: string }[];
  entries: string[];
  roots: string[];
  inclusion: { index: number; size: number; path: string[] }[];
  consistency: { old: number; new: number; path: string[] }[];
  notes: { key: string; note: string; text: string }[];
}

export function vectors(path: string): Record<string, number> {
  const given = JSON.parse(readFileSync(path, "utf8")) as Vectors;
  const count = { leaves: 0, inclusion: 0, consistency: 0, notes: 0, refused: 0 };
  const heads = given.roots.map((root, size) => ({ origin: "log", size: BigInt(size), root: hex(root) }));
  const hashes = given.entries.map((entry) => hashLeaf(hex(entry)));
  const refused = (check: () => unknown) => {
    try {
      check();
    } catch (problem) {
      if (!(problem instanceof NotProved)) throw problem;
      count.refused++;
      return;
    }
    throw new Error("what is wrong was believed");
  };
  for (const { subject, header, payload, data, hash } of given.leaves) {
    const hashed = createHash("sha256").update(base64(payload)).digest();
    const leaf = leafOf(base64(subject), base64(header), hashed);
    if (Buffer.compare(leaf, base64(data)) !== 0 || Buffer.from(hashLeaf(leaf)).toString("hex") !== hash)
      throw new Error(`leaf ${count.leaves} is another`);
    count.leaves++;
  }
  for (const { index, size, path: shown } of given.inclusion) {
    const [leaf, proof, head] = [hashes[index]!, shown.map(hex), heads[size]!];
    checkInclusion(leaf, BigInt(index), proof, head);
    refused(() => checkInclusion(leaf, BigInt(index) + 1n, proof, head));
    refused(() => checkInclusion(leaf, BigInt(index), [...proof, new Uint8Array(32)], head));
    count.inclusion++;
  }
  for (const { old, new: grown, path: shown } of given.consistency) {
    const proof = shown.map(hex);
    checkConsistency(heads[old]!, heads[grown]!, proof);
    refused(() => checkConsistency(heads[old]!, heads[grown]!, [...proof, new Uint8Array(32)]));
    count.consistency++;
  }
  for (const { key, note, text } of given.notes) {
    if (openNote(note, [readKey(key)]).text !== text) throw new Error("the note says something else");
    refused(() => openNote(note.replace("your problem", "my problem"), [readKey(key)]));
    count.notes++;
  }
  return count;
}

function hex(text: string): Uint8Array {
  return Buffer.from(text, "hex");
}

function base64(text: string): Uint8Array {
  return Buffer.from(text, "base64");
}
