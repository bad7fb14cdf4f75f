/**
 * A small governed agent: reads a log for a machine that is out of memory or disk, and proposes to look closer.
 *
 *     PROVOST_ADDRESS=127.0.0.1:7000 PROVOST_ROLE_ID=… PROVOST_SECRET_ID=… bun examples/agent.ts
 *
 * Or PROVOST_WRAPPING_TOKEN instead of role and secret: it is good for one start. Ctrl-C stops it gracefully. When it is revoked, it says why and ends with code 3.
 */

import { Agent, type Assignment, type Happening, type Proposal, ProvostError } from "../src/index.js";
import { Tier } from "../src/gen/provost/policy/v1/policy_pb.js";

const SIGNS = [
  { cause: "memory", sign: /out of memory/i, action: "diagnostics.memory" },
  { cause: "disk_full", sign: /no space left on device/i, action: "diagnostics.disk" },
] as const;

function think(assignment: Assignment): Proposal {
  const found = SIGNS.flatMap(({ cause, sign, action }) => {
    const line = assignment.lines.findIndex((text) => sign.test(text)) + 1;
    return line > 0 ? [{ cause, action, evidence: assignment.cite(line) }] : [];
  });
  if (found.length === 0)
    return { incident: { severity: "info", cause: "none", confidence: 0.5, summary: "nothing that I know" } };
  return {
    incident: {
      severity: "critical",
      cause: found[0]!.cause,
      confidence: 0.9,
      summary: `the log shows: ${found.map((each) => each.cause).join(", ")}`,
      evidence: found.map((each) => each.evidence),
      claims: found.map(({ cause, evidence }) => ({
        statement: `the log says so in line ${evidence.line}`,
        cause,
        severity: "critical",
        confidence: 0.9,
        evidence: [evidence.evidenceId!],
      })),
    },
    plan: found.map(({ action, cause, evidence }, n) => ({
      action: { actionId: `a${n + 1}`, name: action, target: "localhost", environment: "sandbox" },
      leastTier: Tier.T0_OBSERVER,
      why: `see how bad it is: ${cause}`,
      evidence: [evidence.evidenceId!],
    })),
  };
}

function told(happening: Happening): void {
  const { what, ...more } = happening;
  const said =
    "why" in more ? { reason: more.why.reason, text: more.why.message } : "problem" in more ? { runId: more.runId, problem: String(more.problem) } : more;
  console.log(JSON.stringify({ what, ...said }));
}

const { PROVOST_ADDRESS, PROVOST_CA_FILE, PROVOST_WRAPPING_TOKEN: wrappingToken } = process.env;
const { PROVOST_ROLE_ID: roleId = "", PROVOST_SECRET_ID: secretId = "" } = process.env;
const agent = new Agent({
  ...(PROVOST_ADDRESS ? { address: PROVOST_ADDRESS } : {}),
  ...(PROVOST_CA_FILE ? { caFile: PROVOST_CA_FILE } : {}),
  credentials: wrappingToken ? { wrappingToken } : { roleId, secretId },
  version: "example-1",
  think,
  told,
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void agent.stop());
try {
  await agent.run();
  console.log(JSON.stringify({ what: "stopped" }));
} catch (problem) {
  if (!(problem instanceof ProvostError)) throw problem;
  console.log(JSON.stringify({ what: "ended", reason: problem.reason, text: problem.message }));
  process.exitCode = 3;
}
