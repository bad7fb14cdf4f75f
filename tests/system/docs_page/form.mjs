// Opens one panel of the page's script (argv: script, /openapi.json in a file, method, path), sends its form with a value
// in every field but the body's, and prints the names of the fields and what was sent. Of a browser it has what the script uses.
import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";

class Made {
  children = [];
  listeners = {};
  append(...more) { this.children.push(...more); }
  replaceChildren(...all) { this.children = all; }
  addEventListener(name, heard) { this.listeners[name] = heard; }
  get within() { return this.children.flatMap((each) => (each instanceof Made ? [each, ...each.within] : [])); }
  get fields() { return this.within.filter((each) => each.name); }
  get elements() { return Object.fromEntries(this.fields.map((each) => [each.name, each])); }
}

const [script, described, method, path] = process.argv.slice(2);
const parts = { endpoints: new Made(), key: { value: "k" } };
const sent = [];
globalThis.document = { createElement: () => new Made(), getElementById: (id) => parts[id] };
globalThis.fetch = async (target, request) => {
  if (!request) return { json: async () => JSON.parse(readFileSync(described, "utf8")) };
  sent.push({ target, headers: request.headers, body: request.body });
  return new Response("{}");
};
runInThisContext(readFileSync(script, "utf8"));
await new Promise((resolve) => setImmediate(resolve));

const panel = parts.endpoints.children.find((each) =>
  each.within.some((part) => part.textContent === path) && each.within.some((part) => part.textContent === method));
const form = panel.within.find((each) => each.listeners.submit);
for (const field of form.fields) if (field.name !== "body") field.value = "x-1";
await form.listeners.submit({ preventDefault() {} });
console.log(JSON.stringify({ fields: form.fields.map((each) => each.name), sent }));
