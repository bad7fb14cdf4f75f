/** Goes through tests/conformance/script.json, and prints what it was answered, a line of JSON for each step. */

import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { type GetInclusionProofResponse } from "../src/gen/provost/ledger/v1/ledger_pb.js";
import {
  EffectState,
  GetRunRequestSchema,
  Phase,
  type Run,
  RunState,
} from "../src/gen/provost/orchestrator/v1/orchestrator_pb.js";
import { ApprovalState, Mode, Tier, Verdict } from "../src/gen/provost/policy/v1/policy_pb.js";
import { NotProved, Provost, ProvostError, checkInclusionAnswer, readKey } from "../src/index.js";
import { vectors } from "./vectors.js";

interface Step {
  name: string;
  call: string;
  as: string;
  with?: Record<string, unknown>;
  save?: string[];
  hide?: string[];
  same?: Record<string, string>;
}
type Answer = Record<string, unknown>;
type Given = Record<string, any>;

const [scriptPath, givenPath] = process.argv.slice(2);
const script = JSON.parse(readFileSync(scriptPath!, "utf8")) as { steps: Step[] };
const given = JSON.parse(readFileSync(givenPath!, "utf8")) as Given;
const known: Record<string, string> = { ...given.values };

const CALLS: Record<string, (provost: Provost, more: Given) => Promise<Answer>> = {
  async status(provost) {
    const { healthy, components } = await provost.status();
    return { healthy, components: components.map((each) => each.name).sort() };
  },
  async process_log(provost, { log, mode, strategy, request_id: requestId }) {
    const run = await provost.processLog(log, { mode, strategy, requestId });
    return {
      run_id: run.runId,
      report_sha256: run.reportSha256,
      ...stage(run),
      mode: Mode[run.mode],
      cause: run.incident?.cause,
      severity: run.incident?.severity,
      plan: run.plan.map((each) => each.action?.name),
      verdicts: run.decisions.map((each) => Verdict[each.verdict]),
      effects: run.effects.map((each) => EffectState[each.state]),
      requested_by: run.requestedBy,
    };
  },
  async artifact(provost, { sha256, run_id: runId }) {
    const { artifact, content } = await provost.state.getArtifact({ sha256 });
    const report = JSON.parse(new TextDecoder().decode(content));
    const [ofTheRun, actions] = [report.run.run_id === runId, report.decisions.length];
    return { name: artifact?.name, media_type: artifact?.mediaType, of_the_run: ofTheRun, actions };
  },
  async authorize(provost, { action, mode, request_id: requestId }) {
    const { decision } = await provost.authorize({
      agentId: known.agent!,
      taskId: known.task!,
      runId: known.agent_run!,
      action: { name: action, target: "localhost", environment: "sandbox" },
      mode,
      sessionToken: known.session_token!,
      requestId,
    });
    const { verdict, reason, rule, tier, obligations, permit } = decision!;
    return { verdict: Verdict[verdict], reason, rule, tier: Tier[tier], obligations, permit: permit !== "" };
  },
  async start_run(provost, { agent: agentId, task: taskId, objective, mode, request_id: requestId }) {
    const begun =
      mode in { safe: 1, assisted: 1, auto: 1 }
        ? await provost.startRun({ agentId, taskId, objective, mode, requestId })
        : (await provost.orchestrator.startRun({ agentId, taskId, objective, mode: Number(mode), requestId })).run!;
    const run = await last(provost.followRun(begun.runId));
    return { run_id: run.runId, ...stage(run), waits_for: run.waitingFor.length };
  },
  async approvals(provost, { run_id: runId }) {
    const found = await provost.listApprovals(runId);
    return {
      approval_id: found[0]?.approvalId,
      approvals: found.map(({ action, state, agentId }) => ({
        action: action?.name,
        state: ApprovalState[state],
        agent: agentId,
      })),
    };
  },
  async answer(provost, { approval_id: approvalId, approve, comment = "" }) {
    const { state } = await provost.answerApproval(approvalId, { approve, comment });
    return { state: ["APPROVED", "USED"].includes(ApprovalState[state]) ? "APPROVED" : ApprovalState[state] };
  },
  async follow(provost, { run_id: runId }) {
    let run = await last(provost.followRun(runId));
    while (run.state === RunState.WAITING) run = await provost.getRun(runId); // the answer is on its way to it
    return ended(await last(provost.followRun(runId)));
  },
  async run(provost, { run_id: runId, unknown_field: newer }) {
    if (!newer) return ended(await provost.getRun(runId));
    const request = fromBinary(GetRunRequestSchema, Uint8Array.of(0xc0, 0x3e, 0x01)); // field 1000, a number
    request.runId = runId;
    return ended((await provost.orchestrator.getRun(request)).run!);
  },
  async late_head(provost, { at_least_sequence: atLeast, timeout_ms: timeoutMs }) {
    const answer = await provost.ledger.getTreeHead({ atLeastSequence: BigInt(atLeast) }, { timeoutMs });
    return { size: Number(answer.treeHead?.treeSize) };
  },
  async unreachable() {
    await using nowhere = new Provost({ address: given.closed_address });
    return { healthy: (await nowhere.status()).healthy };
  },
  async watch(provost, { log, request_id: requestId }) {
    const filter = { context: "orchestrator", aggregate: "run" };
    let cursor = "";
    for await (const answer of provost.watchEvents(filter)) {
      cursor = answer.cursor;
      break;
    }
    const { runId } = await provost.processLog(log, { mode: "safe", strategy: "classic", requestId });
    const told = async () => {
      const found = [];
      for await (const { events } of provost.watchEvents(filter, { cursor })) {
        found.push(...events.filter((each) => each.subject.includes(runId)));
        if (found.at(-1)?.eventType === "RunEnded") break;
      }
      return found;
    };
    const [first, second] = [await told(), await told()];
    return {
      event_id: first.at(-1)!.eventId,
      types: first.map((each) => each.eventType),
      in_order: first.every((each, n) => n === 0 || each.sequence > first[n - 1]!.sequence),
      again_is_the_same: first.map((each) => each.eventId).join() === second.map((each) => each.eventId).join(),
    };
  },
  async prove(provost, { event_id: eventId }) {
    const proved = checkInclusionAnswer(await provost.proveEvent(eventId), [readKey(known.verifier_key!)]);
    const type = /^ce-type: *(.+)\r$/m.exec(Buffer.from(proved.header).toString())?.[1];
    return { proved: true, type, index_below_size: proved.index < proved.head.size };
  },
  async prove_tampered(provost, { event_id: eventId }) {
    const whole = await provost.proveEvent(eventId);
    const [body, signed] = whole.treeHead!.checkpoint.split("\n\n") as [string, string];
    const lines = body.split("\n");
    const size = [lines[0], BigInt(lines[1]!) + 1n, ...lines.slice(2)].join("\n");
    const at = signed.indexOf("\n") - 20;
    const signature = signed.slice(0, at) + (signed[at] === "A" ? "B" : "A") + signed.slice(at + 1);
    const first = Uint8Array.from(whole.path[0]!, (byte, n) => (n === 0 ? byte ^ 1 : byte));
    const headed = (checkpoint: string) => ({ ...whole, treeHead: { ...whole.treeHead!, checkpoint } });
    const wrong: Record<string, GetInclusionProofResponse> = {
      payload: { ...whole, payload: Buffer.concat([whole.payload, Buffer.from("x")]) },
      subject: { ...whole, subject: `${whole.subject}x` },
      header: { ...whole, headerBlock: Buffer.concat([whole.headerBlock.slice(0, -2), Buffer.from("x: 1\r\n\r\n")]) },
      path: { ...whole, path: [first, ...whole.path.slice(1)] },
      "path cut": { ...whole, path: whole.path.slice(0, -1) },
      index: { ...whole, leafIndex: whole.leafIndex ^ 1n },
      size: headed(`${size}\n\n${signed}`),
      "another key": whole,
      signature: headed(`${body}\n\n${signature}`),
    };
    const outcome = (kind: string, answer: GetInclusionProofResponse) => {
      const key = kind === "another key" ? known.other_verifier_key! : known.verifier_key!;
      try {
        checkInclusionAnswer(answer, [readKey(key)]);
        return "believed";
      } catch (problem) {
        if (problem instanceof NotProved) return "refused";
        throw problem;
      }
    };
    return Object.fromEntries(Object.entries(wrong).map(([kind, answer]) => [kind, outcome(kind, answer)]));
  },
  async event(provost, { event_id: eventId }) {
    return { type: (await provost.ledger.getEvent({ eventId })).event?.eventType };
  },
  async vectors() {
    return vectors(given.vectors);
  },
};

function stage(run: Run): Answer {
  return { state: RunState[run.state], phase: Phase[run.phase] };
}

function ended(run: Run): Answer {
  return { ...stage(run), effects: run.effects.map((each) => EffectState[each.state]) };
}

async function last<Item>(items: AsyncIterable<Item>): Promise<Item> {
  let found: Item | undefined;
  for await (const item of items) found = item;
  return found!;
}

function filled(value: unknown): unknown {
  return typeof value === "string" ? value.replace(/\$\{(\w+)\}/g, (_, name: string) => known[name]!) : value;
}

for (const { name, call, as, with: more = {}, save = [], hide = [], same } of script.steps) {
  await using provost = new Provost({ address: given.address, key: given.keys[as], caFile: given.ca_file });
  let answer: Answer;
  try {
    const values = Object.fromEntries(Object.entries(more).map(([key, value]) => [key, filled(value)]));
    answer = await CALLS[call]!(provost, values);
  } catch (problem) {
    if (!(problem instanceof ProvostError)) throw problem;
    const text = given.with_text ? { text: problem.message } : {};
    answer = { error: { kind: problem.kind, reason: problem.reason, retryable: problem.retryable, ...text } };
  }
  if (same) answer = { same: Object.entries(same).every(([key, value]) => answer[key] === filled(value)) };
  for (const key of save) known[key] = String(answer[key]);
  for (const key of hide) delete answer[key];
  console.log(JSON.stringify({ step: name, answer }));
}
