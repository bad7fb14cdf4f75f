export { Agent, type AgentOptions, Assignment, type Credentials, type Happening, type Proposal } from "./agent.js";
export { type AuthorizeOptions, type ModeName, type ProcessLogOptions, Provost } from "./client.js";
export { type ConnectionOptions, newRequestId } from "./connection.js";
export { type Kind, ProvostError } from "./errors.js";
export { type Checkpoint, type Key, NotProved, openCheckpoint, openNote, readKey } from "./note.js";
export {
  type ProvedEvent,
  checkConsistency,
  checkEventProof,
  checkInclusion,
  checkInclusionAnswer,
  hashLeaf,
  leafOf,
} from "./proofs.js";
export type { WatchOptions } from "./watch.js";
