// Subscribes to a tenant's events as JSON on NATS, from the first that is still there, or behind a sequence.
//
//   npm install nats
//   node examples/subscribe.mjs .provost/keys/subscribers/default.url [SEQUENCE] [COUNT]
//
// Each line says with which sequence to go on. An ordered consumer comes back by itself when the server does.
import { readFileSync } from "node:fs";
import { connect } from "nats";

const [file, sequence = "0", count = "0"] = process.argv.slice(2);
const url = new URL(readFileSync(file, "utf8").trim());
const tenant = url.username.replace(/^subscriber-/, "");
const connection = await connect({ servers: url.host, user: url.username, pass: url.password });

const stream = await connection.jetstream().consumers.get("PUBLIC", {
  filterSubjects: `pub.${tenant}.>`,
  opt_start_seq: Number(sequence) + 1,
  deliver_policy: "by_start_sequence",
});
const seen = new Set(); // at least once: an event is known by its id
let left = Number(count);
for await (const message of await stream.consume()) {
  const event = message.json();
  if (seen.has(event.id)) continue;
  seen.add(event.id);
  console.log(message.seq, event.time, event.type, event.subject, JSON.stringify(event.data ?? {}));
  if (--left === 0) break;
}
await connection.close();
