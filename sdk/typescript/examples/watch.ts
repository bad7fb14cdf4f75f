/**
 * Tells what happens, from the first event on, whatever happens to the connection. Ctrl-C ends it.
 *
 *     PROVOST_ADDRESS=127.0.0.1:7000 PROVOST_API_KEY=… bun examples/watch.ts
 */

import { Provost } from "../src/index.js";

const { PROVOST_ADDRESS, PROVOST_CA_FILE, PROVOST_API_KEY = "" } = process.env;
await using provost = new Provost({
  ...(PROVOST_ADDRESS ? { address: PROVOST_ADDRESS } : {}),
  ...(PROVOST_CA_FILE ? { caFile: PROVOST_CA_FILE } : {}),
  key: PROVOST_API_KEY,
});
const enough = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => enough.abort());

const interrupted = (why: string) => console.error(`interrupted: ${why}`);
for await (const { events } of provost.watchEvents({}, { fromStart: true, signal: enough.signal, interrupted })) {
  for (const { sequence, eventType, actor } of events) console.log(`${sequence} ${eventType} by ${actor}`);
}
